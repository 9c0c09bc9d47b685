//! The limits on the reading of a refused request's body.

use std::time::Duration;

/// The limits on the reading of a refused request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedBody {
    pub(crate) max_bytes: u64,
    pub(crate) max_time: Duration,
}

impl Default for RefusedBody {
    fn default() -> Self {
        Self { max_bytes: 2 * 1024 * 1024, max_time: Duration::from_secs(5) }
    }
}
