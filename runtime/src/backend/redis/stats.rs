//! Statistics of a Redis backend.

/// Statistics of a [`RedisBackend`](super::RedisBackend) since it was created, summed over all its
/// servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Number of calls sent.
    pub round_trips: u64,
    /// Number of operations that these calls carried.
    pub checks: u64,
    /// Number of operations that wait to be sent.
    pub queued: usize,
    /// Maximum number of connections.
    pub pool_size: usize,
    /// Number of open connections.
    pub connections: usize,
    /// Number of open connections that are not in use.
    pub idle: usize,
    /// Number of callers that wait for a connection.
    pub waiting: usize,
}
