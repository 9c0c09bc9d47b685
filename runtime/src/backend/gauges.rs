//! What a backend says of itself.

use std::future::Future;
use std::pin::Pin;

use crate::stats::{BackendStats, ServerStats};

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
