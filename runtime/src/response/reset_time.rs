//! The time that `X-RateLimit-Reset` tells.

use std::sync::Arc;

use super::header_style::{HeaderStyle, LegacyReset};
use crate::verdict::Verdict;
use crate::{Clock, Source};

/// The meaning of `X-RateLimit-Reset`, and the clocks by which it is converted to the wall time.
///
/// A decision is stamped by a clock that never jumps. That clock and the wall time drift apart, for
/// example when the machine sleeps or when its time is corrected. Clients compare the field with
/// their own wall time, so the wall time is read when the field is written.
pub(crate) struct ResetTime {
    pub(super) meaning: LegacyReset,
    pub(super) clocks: WallClocks,
}

/// The clocks in this process that stamp decisions.
pub(crate) struct WallClocks {
    /// The store's clock; `None` if the store has a clock elsewhere, for example that of a Redis
    /// server. Its stamps are taken as they are.
    pub(crate) store: Option<Arc<dyn Clock>>,
    /// The clock of the limiter's fallback.
    pub(crate) fallback: Arc<dyn Clock>,
}

#[cfg(test)]
impl WallClocks {
    /// Uses the same clock for the store and for the fallback.
    pub(super) fn of(clock: impl Clock) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        Self { store: Some(Arc::clone(&clock)), fallback: clock }
    }
}

impl ResetTime {
    /// Returns the wall time of a decision, in microseconds since the Unix epoch; 0 if no field of
    /// this style tells it.
    #[inline]
    pub(super) fn wall_micros(&self, verdict: &Verdict, style: HeaderStyle) -> u64 {
        let is_told = style.has_legacy() && self.meaning == LegacyReset::Epoch;
        if is_told { self.to_wall(verdict) } else { 0 }
    }

    fn to_wall(&self, verdict: &Verdict) -> u64 {
        let stamp = verdict.stamp_micros();
        let clock = match verdict.source() {
            Source::Local => Some(&self.clocks.fallback),
            _ => self.clocks.store.as_ref(),
        };
        let Some(clock) = clock else { return stamp };
        let (wall, now) = (clock.wall_micros(), clock.now_micros());
        match wall.checked_sub(now) {
            Some(ahead) => stamp.saturating_add(ahead),
            None => stamp.saturating_sub(now - wall),
        }
    }
}
