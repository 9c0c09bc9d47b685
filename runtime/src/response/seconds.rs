//! Whole seconds, for header fields and messages.

use std::time::Duration;

/// The longest wait that a response tells, nearly 25 days. Timers of Node.js count milliseconds in
/// 31 bits, and its clients take a longer wait for none: they ask again at once.
pub(crate) const LONGEST_WAIT: u64 = 2_147_483;

/// Returns a span in whole seconds. It is rounded up, so that clients do not retry too early.
pub(super) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// Returns a wait as gRPC tells it: exactly, and at most [`LONGEST_WAIT`].
pub(super) fn told_wait(wait: Duration) -> Duration {
    wait.min(Duration::from_secs(LONGEST_WAIT))
}

/// Returns a wait as responses tell it: in whole seconds, at most [`LONGEST_WAIT`].
pub(super) fn wait_seconds(wait: Duration) -> u64 {
    whole_seconds(wait).min(LONGEST_WAIT)
}

/// Returns the value of `Retry-After`, in seconds. It is at least 1, so that no client retries at once.
pub(super) fn told_seconds(wait: Duration) -> u64 {
    wait_seconds(wait).max(1)
}
