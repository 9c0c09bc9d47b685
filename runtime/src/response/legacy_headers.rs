//! The fields `X-RateLimit-*`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use super::header_style::LegacyReset;
use super::seconds::{wait_seconds, whole_seconds};
use super::text::number_field;
use crate::QuotaState;

pub(super) const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
pub(super) const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
pub(super) const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The values of the legacy fields. They describe one quota, because they cannot describe more.
#[derive(Debug)]
pub(super) struct LegacyHeaders {
    limit: u32,
    /// The values of `X-RateLimit-Remaining` and of `X-RateLimit-Reset`; `None` if the state of the
    /// quota is unknown.
    state: Option<(u32, u64)>,
}

impl LegacyHeaders {
    /// Describes a quota of `limit` units and its state, as of the wall time `wall_micros`.
    pub(super) fn new(
        limit: u32,
        state: Option<&QuotaState>,
        wall_micros: u64,
        reset: LegacyReset,
    ) -> Self {
        let state = state.map(|state| {
            let reset_after = state.reset_after();
            let reset = match reset {
                LegacyReset::Delta => wait_seconds(reset_after),
                LegacyReset::Epoch => {
                    let now = Duration::from_micros(wall_micros);
                    whole_seconds(now.saturating_add(reset_after))
                }
            };
            (state.remaining(), reset)
        });
        Self { limit, state }
    }

    /// Sets the fields, unless the response already describes a quota of another policy with as
    /// little or less remaining.
    pub(super) fn set_if_tighter(self, headers: &mut HeaderMap) {
        let Some((remaining, _)) = self.state else {
            if !headers.contains_key(&LEGACY_LIMIT) {
                self.set(headers);
            }
            return;
        };
        let earlier = headers.get(&LEGACY_REMAINING).and_then(|value| value.to_str().ok());
        let earlier = earlier.and_then(|value| value.parse::<u32>().ok());
        if earlier.is_none_or(|earlier| remaining < earlier) {
            self.set(headers);
        }
    }

    /// Sets the fields in place of those that the response has.
    pub(super) fn set(self, headers: &mut HeaderMap) {
        headers.insert(LEGACY_LIMIT, number_field(self.limit.into()));
        match self.state {
            Some((remaining, reset)) => {
                headers.insert(LEGACY_REMAINING, number_field(remaining.into()));
                headers.insert(LEGACY_RESET, number_field(reset));
            }
            None => {
                headers.remove(LEGACY_REMAINING);
                headers.remove(LEGACY_RESET);
            }
        }
    }
}
