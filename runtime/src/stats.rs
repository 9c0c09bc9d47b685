//! Statistics of a limiter and of its backend, as plain data: see
//! [`Limiter::stats`](crate::Limiter::stats).

// The parts that they describe fill them in; `telemetry` and `dashboard` publish them.

use std::fmt;

/// Statistics of a limiter's parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterStats {
    /// The backend's [name](crate::Backend::name).
    pub backend: &'static str,
    /// Statistics of the circuit breaker; `None` if there is none. A backend in memory has none.
    pub breaker: Option<BreakerStats>,
    /// Statistics of the backend, if it is a [`MemoryBackend`](crate::MemoryBackend).
    pub memory: Option<MemoryStats>,
    /// Statistics of the backend, if it is a [`RedisBackend`](crate::RedisBackend).
    #[cfg(feature = "redis")]
    pub redis: Option<RedisStats>,
}

/// Statistics of one of the crate's own backends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BackendStats {
    /// A backend in memory.
    Memory(MemoryStats),
    /// A Redis backend.
    #[cfg(feature = "redis")]
    Redis(RedisStats),
}

/// Statistics of a [`MemoryBackend`](crate::MemoryBackend) since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// The number of keys in memory.
    pub keys: usize,
    /// The number of keys that were removed for want of room before they were fully replenished.
    pub evicted: u64,
    /// The number of checks that found no room for their subject and were decided by their policy's
    /// shared counter.
    pub overflowed: u64,
    /// The largest number of keys that one check has examined or moved, apart from its own. It has
    /// a bound that does not grow with the number of keys.
    pub most_visited: usize,
}

/// Statistics of a [`RedisBackend`](crate::RedisBackend) since it was created, over all of its
/// servers.
#[cfg(feature = "redis")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// The number of calls sent.
    pub round_trips: u64,
    /// The number of operations in those calls.
    pub checks: u64,
    /// The number of operations that wait to be sent.
    pub queued: usize,
    /// The largest number of connections allowed.
    pub pool_size: usize,
    /// The number of open connections.
    pub connections: usize,
    /// The number of open connections that are not in use.
    pub idle: usize,
    /// The number of tasks that wait for a connection.
    pub waiting: usize,
}

/// The state of one Redis server, as reported by its `INFO`.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "only metrics publish them"))]
pub(crate) struct ServerStats {
    /// The server's address.
    pub address: String,
    /// The memory in use, in bytes.
    pub memory: u64,
    /// The memory that may be used, in bytes; 0 if it is unlimited.
    pub max_memory: u64,
    /// The number of client connections.
    pub clients: u64,
    /// The number of keys evicted for want of memory since the server started.
    pub evicted_keys: u64,
}

/// Statistics of a [`CircuitBreaker`](crate::CircuitBreaker) since its limiter was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// The present state.
    pub state: BreakerState,
    /// The number of consecutive failures, while it is closed.
    pub failures: u32,
    /// The number of times that it opened, not counting failed probes.
    pub opened: u64,
    /// The number of operations let through to find out whether the backend works again.
    pub probes: u64,
    /// The number of operations rejected without asking the backend.
    pub rejected: u64,
}

/// The state of a [`CircuitBreaker`](crate::CircuitBreaker). There will be no others, so a `match`
/// may be exhaustive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// The backend is asked.
    #[default]
    Closed,
    /// The backend is not asked.
    Open,
    /// One operation has been let through to find out whether the backend works again.
    HalfOpen,
}

impl BreakerState {
    /// Returns the state as text, for example for the label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
