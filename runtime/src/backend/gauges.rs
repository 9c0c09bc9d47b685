//! What a backend says of itself.

use std::future::Future;
use std::pin::Pin;

use super::MemoryStats;
#[cfg(feature = "redis")]
use super::RedisStats;

/// What a backend holds and does, for those who look at a limiter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BackendStats {
    /// One in memory.
    Memory(MemoryStats),
    /// A Redis.
    #[cfg(feature = "redis")]
    Redis(RedisStats),
}

/// What a server says of itself.
#[derive(Clone, Debug)]
pub(crate) struct ServerStats {
    /// Where it is.
    pub(crate) address: String,
    /// The bytes that it uses.
    pub(crate) memory: u64,
    /// The bytes that it may use; 0 if that has no bound.
    pub(crate) max_memory: u64,
    /// The connections of its clients.
    pub(crate) clients: u64,
    /// The keys that it forgot for want of memory since it started.
    pub(crate) evicted_keys: u64,
}

/// Reads a backend's instruments, whatever stands before the backend. It cannot be named outside
/// the crate: only its own backends have it.
pub(crate) trait Gauges: Send + Sync {
    /// What it holds and does; without waiting.
    fn read(&self) -> BackendStats;

    /// Asks its servers, those that answer.
    fn ask_servers(&self) -> Pin<Box<dyn Future<Output = Vec<ServerStats>> + Send + '_>> {
        Box::pin(async { Vec::new() })
    }
}
