//! Seconds as clients count them.

use std::time::Duration;

/// Returns a span in whole seconds, rounded up so that clients never come back too early.
pub(super) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
