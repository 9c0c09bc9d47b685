//! The fields `X-RateLimit-*`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use super::header_style::LegacyReset;
use super::policy_text::PolicyText;
use super::seconds::whole_seconds;
use crate::QuotaState;

pub(super) const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
pub(super) const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
pub(super) const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The values of the legacy fields.
#[derive(Debug)]
pub(super) struct LegacyHeaders {
    limit: u32,
    /// The values of `X-RateLimit-Remaining` and of `X-RateLimit-Reset`; `None` if the state of the
    /// quota is unknown.
    state: Option<(u32, u64)>,
}

impl LegacyHeaders {
    /// Describes one quota, because the fields cannot describe more. This is the quota that refuses
    /// for the longest time, or else the quota with the least remaining. `wall_micros` is the wall
    /// time of the decision.
    pub(super) fn new(
        text: &PolicyText,
        states: &[QuotaState],
        wall_micros: Option<u64>,
        reset: LegacyReset,
    ) -> Option<Self> {
        let tightest = text.quotas.iter().zip(states).min_by_key(|(_, state)| {
            let refuses_for = state.is_exceeded().then(|| state.more_after());
            (std::cmp::Reverse(refuses_for), state.remaining())
        });
        let Some((quota, state)) = tightest else {
            return text.quotas.first().map(|quota| Self { limit: quota.limit, state: None });
        };
        let reset_after = state.reset_after();
        let reset = match reset {
            LegacyReset::Delta => whole_seconds(reset_after),
            LegacyReset::Epoch => {
                let now = Duration::from_micros(wall_micros.unwrap_or_default());
                whole_seconds(now.saturating_add(reset_after))
            }
        };
        Some(Self { limit: quota.limit, state: Some((state.remaining(), reset)) })
    }

    /// Sets the fields, unless the response already describes a quota of an earlier policy with as
    /// little or less remaining.
    pub(super) fn set(self, headers: &mut HeaderMap) {
        let Some((remaining, reset)) = self.state else {
            headers.entry(LEGACY_LIMIT).or_insert_with(|| self.limit.into());
            return;
        };
        let earlier = headers.get(&LEGACY_REMAINING).and_then(|value| value.to_str().ok());
        let earlier = earlier.and_then(|value| value.parse::<u32>().ok());
        if earlier.is_none_or(|earlier| remaining < earlier) {
            headers.insert(LEGACY_LIMIT, self.limit.into());
            headers.insert(LEGACY_REMAINING, remaining.into());
            headers.insert(LEGACY_RESET, reset.into());
        }
    }
}
