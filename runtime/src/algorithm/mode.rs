//! The mode of a decision.

/// The effect of a decision on the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The cost is charged if it is admitted.
    Charge,
    /// Nothing is charged, even if the cost is admitted.
    Peek,
}
