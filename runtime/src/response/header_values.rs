//! The header fields of an admission.

use axum::http::HeaderMap;
use axum::response::Response;

use super::header_style::{HeaderStyle, LegacyReset};
use super::limit_field::{LIMIT, POLICY, limit_field};
use super::limit_state::LimitState;
use super::passing_refusal::PassingRefusal;
use super::policy_text::PolicyText;
use super::reset_time::ResetTime;
use crate::verdict::Verdict;
use crate::{Outcome, QuotaState};

/// The data of an admission from which the header fields of its response are formatted. They are
/// formatted late, because they depend on the response: it may be the refusal of another limit.
#[derive(Debug)]
pub(crate) struct HeaderValues {
    style: HeaderStyle,
    reset: LegacyReset,
    /// The wall time of the decision, in microseconds since the Unix epoch; 0 if no field tells it.
    wall_micros: u64,
    quotas: States,
}

/// The states of the quotas. Most policies have one. This is half as large as a vector with a place for
/// one, and it is moved with each request.
#[derive(Debug)]
enum States {
    None,
    One(QuotaState),
    Several(Box<[QuotaState]>),
}

const _: () = assert!(size_of::<States>() == size_of::<QuotaState>());

impl States {
    fn as_slice(&self) -> &[QuotaState] {
        match self {
            Self::None => &[],
            Self::One(state) => std::slice::from_ref(state),
            Self::Several(states) => states,
        }
    }
}

impl HeaderValues {
    pub(crate) const NOTHING: Self = Self {
        style: HeaderStyle::None,
        reset: LegacyReset::Epoch,
        wall_micros: 0,
        quotas: States::None,
    };

    /// Stores what the fields need of a verdict that admits the request. The verdict is needed even
    /// in a style without fields: if the request is refused later, `Retry-After` depends on it.
    #[inline]
    pub(crate) fn new(verdict: &Verdict, style: HeaderStyle, reset: &ResetTime) -> Self {
        let quotas = match *verdict.quotas() {
            [] => States::None,
            [state] => States::One(state),
            ref states => States::Several(states.into()),
        };
        let wall_micros = reset.wall_micros(verdict, style);
        Self { style, reset: reset.meaning, wall_micros, quotas }
    }

    /// Adds the fields to a response. If the response is a refusal, of a limit behind the one that
    /// admitted the request, raises its `Retry-After` to the time at which this limit would admit
    /// the request again.
    pub(crate) fn add_to(self, response: &mut Response, text: &PolicyText) {
        let state = LimitState {
            text,
            style: self.style,
            outcome: Some(Outcome::Allowed),
            quotas: self.quotas.as_slice(),
            wall_micros: self.wall_micros,
            has_fixed_cost: false,
        };
        match response.extensions().get::<PassingRefusal>().copied() {
            Some(refusal) => refusal.pass(&state, self.reset, response),
            None => add_admission(&state, self.reset, response.headers_mut()),
        }
    }
}

fn add_admission(state: &LimitState<'_>, reset: LegacyReset, headers: &mut HeaderMap) {
    // The fields are appended and not set, so that several policies can describe themselves in one
    // response. A list may span several lines.
    if state.style.has_ietf() {
        if let Some(field) = &state.text.policy_field {
            headers.append(POLICY, field.clone());
        }
        if let Some(field) = limit_field(&state.items()) {
            headers.append(LIMIT, field);
        }
    }
    if state.style.has_legacy()
        && let Some(legacy) = state.tightest_legacy(reset)
    {
        legacy.set_if_tighter(headers);
    }
}
