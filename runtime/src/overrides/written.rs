//! Quotas and rules for bans that an operator has written, in a file or in the form of the dashboard.

use std::time::Duration;

use smol_str::SmolStr;

use super::settings::with_burst;
use crate::calendar::{Calendar, CalendarPeriod};
use crate::policy::ban::BanError;
use crate::{Ban, Override, Quota};

/// A period that an operator has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WrittenPeriod {
    Length(Duration),
    /// A unit of the calendar, and the name of a time zone, which may not exist.
    Calendar(Calendar, SmolStr),
}

impl WrittenPeriod {
    /// Returns the override with this period.
    pub(crate) fn set(&self, changes: Override) -> Override {
        match self {
            Self::Length(period) => changes.per(*period),
            Self::Calendar(calendar, zone) => changes.calendar(*calendar, zone),
        }
    }
}

/// Creates a quota that an operator has written, or returns a message if the values are invalid. The
/// default of `burst` is the limit.
pub(crate) fn written_quota(
    limit: u32,
    per: &WrittenPeriod,
    burst: Option<u32>,
) -> Result<Quota, String> {
    let quota = |limit, burst| {
        let bare = match per {
            WrittenPeriod::Length(period) => Quota::try_new(limit, *period),
            WrittenPeriod::Calendar(calendar, zone) => {
                Quota::try_of_calendar(limit, CalendarPeriod::parse(*calendar, zone)?)
            }
        };
        bare.and_then(|quota| with_burst(quota, burst)).map_err(|error| error.to_string())
    };
    if limit == 0 {
        // The period is of no use, but a wrong one is a mistake all the same.
        return quota(1, burst.filter(|burst| *burst == 0)).map(|_| Quota::BLOCKED);
    }
    quota(limit, burst)
}

/// Creates a rule for bans that an operator has written. The error contains the name of the invalid
/// part. `grow` and `most` have defaults.
pub(crate) fn written_ban(
    after: u32,
    first: Duration,
    grow: Option<u32>,
    most: Option<Duration>,
) -> Result<Ban, (&'static str, BanError)> {
    let mut rule = Ban::try_new(after, first).map_err(|error| match error {
        BanError::ZeroRefusals => ("after", error),
        _ => ("for", error),
    })?;
    if let Some(factor) = grow {
        rule.set_grow(factor).map_err(|error| ("grow", error))?;
    }
    if let Some(longest) = most {
        rule.set_most(longest).map_err(|error| ("most", error))?;
    }
    Ok(rule)
}
