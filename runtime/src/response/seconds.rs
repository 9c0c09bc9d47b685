//! Whole seconds, for header fields and messages.

use std::time::Duration;

/// Returns a span in whole seconds. It is rounded up, so that clients do not retry too early.
pub(super) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
