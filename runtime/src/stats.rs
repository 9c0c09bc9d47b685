//! Statistics of a limiter and of its backend, as plain data: see
//! [`Limiter::stats`](crate::Limiter::stats).

// The parts of the limiter fill them in; `telemetry` and `dashboard` publish them.

use std::fmt;

/// Statistics of a limiter's parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterStats {
    /// The backend's [name](crate::backend::BackendInfo::new).
    pub backend: &'static str,
    /// Statistics of the circuit breaker; `None` if the limiter has none. With a backend in memory
    /// it has none.
    pub breaker: Option<BreakerStats>,
    /// The number of refunds that failed or were lost, so that their charges stay: the backend could
    /// not answer, or the runtime ended while a refund was on its way.
    pub lost_refunds: u64,
    /// The number of permits that requests in flight hold now in this process (see
    /// [`InFlight`](crate::InFlight)).
    pub in_flight: u64,
    /// Statistics of the backend; `None` if it is not a [`MemoryBackend`](crate::MemoryBackend).
    pub memory: Option<MemoryStats>,
    /// Statistics of the backend; `None` if it is not a [`RedisBackend`](crate::RedisBackend).
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
    /// The number of keys that are in memory now.
    pub keys: usize,
    /// The number of keys that were removed to make space for others before they were fully
    /// replenished.
    pub evicted: u64,
    /// The number of checks that were decided by their policy's shared counter, because there was
    /// no space for a counter of their subject.
    pub overflowed: u64,
    /// The number of bans that ended early, because half of the keys were banned.
    pub bans_lifted: u64,
    /// The largest number of keys, apart from its own, that a single check has examined or moved.
    /// This number has a bound that does not grow with the number of keys.
    pub most_visited: usize,
}

/// Statistics of a [`RedisBackend`](crate::RedisBackend) since it was created, summed over all of
/// its servers.
#[cfg(feature = "redis")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// The number of script calls sent to Redis.
    pub round_trips: u64,
    /// The number of operations in those calls. One call can contain several operations.
    pub checks: u64,
    /// The number of operations that are waiting now to be sent.
    pub queued: usize,
    /// The largest number of connections that may be open.
    pub pool_size: usize,
    /// The number of connections that are open now.
    pub connections: usize,
    /// The number of open connections that are not in use now.
    pub idle: usize,
    /// The number of tasks that are waiting now for a connection.
    pub waiting: usize,
}

/// The state of one Redis server, as the server reports it in `INFO`.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "only metrics publish them"))]
pub(crate) struct ServerStats {
    /// The server's address.
    pub address: String,
    /// The memory that the server uses, in bytes.
    pub memory: u64,
    /// The memory that the server may use, in bytes; 0 if it is unlimited.
    pub max_memory: u64,
    /// The number of the server's client connections.
    pub clients: u64,
    /// The number of keys that the server has evicted for lack of memory since it started.
    pub evicted_keys: u64,
}

/// Statistics of a [`CircuitBreaker`](crate::CircuitBreaker) since its limiter was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// The circuit breaker's present state.
    pub state: BreakerState,
    /// The number of consecutive failures while the circuit breaker is closed.
    pub failures: u32,
    /// The number of times that the circuit breaker opened, without failed probes.
    pub opened: u64,
    /// The number of operations that were sent to find out if the backend works again.
    pub probes: u64,
    /// The number of operations that were rejected without asking the backend.
    pub rejected: u64,
}

/// The state of a [`CircuitBreaker`](crate::CircuitBreaker). There will be no others, so a `match`
/// may be exhaustive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Operations are sent to the backend.
    #[default]
    Closed,
    /// Operations are rejected without asking the backend.
    Open,
    /// One operation has been sent to find out if the backend works again. The others are rejected.
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
