//! Statistics of this crate's backends.

use std::future::Future;
use std::pin::Pin;

use crate::stats::{BackendStats, ServerStats};

/// Reads the statistics of a backend, past the guards in front of it. Only this crate's backends
/// implement it.
pub(crate) trait Gauges: Send + Sync {
    /// Returns the present statistics, without waiting.
    fn read(&self) -> BackendStats;

    /// Asks the backend's servers for their state. Returns that of the servers that answer; by
    /// default there are none.
    fn ask_servers(&self) -> Pin<Box<dyn Future<Output = Vec<ServerStats>> + Send + '_>> {
        Box::pin(async { Vec::new() })
    }
}
