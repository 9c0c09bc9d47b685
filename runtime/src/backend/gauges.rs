//! Statistics of this crate's backends.

use std::future::Future;
use std::pin::Pin;

use crate::stats::{BackendStats, ServerStats};

/// A reader of a backend's statistics, which does not pass through the guards in front of the
/// backend. Only this crate's backends implement it.
pub(crate) trait Gauges: Send + Sync {
    /// Returns the present statistics, without waiting.
    fn read(&self) -> BackendStats;

    /// Asks the backend's servers for their statistics. Returns one element for each server that
    /// answers. The default implementation, for a backend without servers, returns none.
    fn ask_servers(&self) -> Pin<Box<dyn Future<Output = Vec<ServerStats>> + Send + '_>> {
        Box::pin(async { Vec::new() })
    }
}
