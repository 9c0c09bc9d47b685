//! The change of a charge after its call.

use crate::decision::Adjustment;

/// The adjustment of a limit's charge that is due after the call, if any.
#[derive(Clone, Copy, Debug)]
pub struct AfterCall(Option<Adjustment>);

impl AfterCall {
    /// The charge stays.
    #[must_use]
    pub fn nothing() -> Self {
        Self(None)
    }

    /// The charge is given back if `holds` is `true`.
    #[must_use]
    pub fn refund_if(holds: bool) -> Self {
        Self(holds.then_some(Adjustment::Refund))
    }

    /// The charge is given back because the call has succeeded, and refusals and bans of its subject
    /// are forgotten, if `holds` is `true`.
    #[must_use]
    pub fn forgive_if(holds: bool) -> Self {
        Self(holds.then_some(Adjustment::Forgive))
    }

    /// The charge is replaced by the units that the call came to.
    #[must_use]
    pub fn settle(units: u32) -> Self {
        Self(Some(Adjustment::Settle(units)))
    }

    pub(super) fn adjustment(self) -> Option<Adjustment> {
        self.0
    }
}
