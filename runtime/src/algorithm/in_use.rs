//! The units of one subject that are in use.

use super::Wait;
use crate::Quota;

/// The units in use under one policy. The order is that in which keys may be forgotten: first those
/// whose subjects win the fewest units by it, among these first those that refuse nothing, and among
/// these first those with the smallest share of their quotas in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InUse {
    /// The largest number of units in use in any quota.
    pub(crate) units: u32,
    /// `true` if a request has to wait.
    pub(crate) refuses: bool,
    /// The largest used share of any quota's capacity, in units of 1/65536.
    pub(crate) share: u64,
}

impl InUse {
    /// Returns the use of one quota, in which a request has the wait `wait`.
    #[inline]
    pub(super) fn of(used: u32, quota: &Quota, wait: Wait) -> Self {
        let share = (u64::from(used) << 16) / u64::from(quota.capacity());
        Self { units: used, refuses: matches!(wait, Wait::For(_)), share }
    }
}
