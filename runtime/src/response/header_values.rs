//! The header fields of one decision.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::header_style::HeaderStyle;
use super::legacy_headers::LegacyHeaders;
use super::limit_field::limit_field;
use super::policy_text::PolicyText;
use super::reset_time::ResetTime;
use crate::verdict::Verdict;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The values of the header fields that one decision adds to its response.
#[derive(Debug)]
pub(crate) struct HeaderValues {
    has_policy: bool,
    limit: Option<HeaderValue>,
    legacy: Option<LegacyHeaders>,
}

impl HeaderValues {
    pub(crate) const NOTHING: Self = Self { has_policy: false, limit: None, legacy: None };

    /// Formats the fields. Without a `verdict`, only the fields that depend on the policy alone
    /// have a value.
    pub(crate) fn new(
        text: &PolicyText,
        verdict: Option<&Verdict>,
        style: HeaderStyle,
        reset: &ResetTime,
    ) -> Self {
        let states = verdict.map(Verdict::quotas).unwrap_or_default();
        Self {
            has_policy: style.has_ietf(),
            limit: if style.has_ietf() { limit_field(text, states) } else { None },
            legacy: if style.has_legacy() {
                let wall_micros = verdict.map(|verdict| reset.wall_micros(verdict));
                LegacyHeaders::new(text, states, wall_micros, reset.meaning)
            } else {
                None
            },
        }
    }

    /// Adds the fields to a response.
    pub(crate) fn add_to(self, headers: &mut HeaderMap, text: &PolicyText) {
        // The fields are appended and not set, so that several policies can describe themselves in
        // one response. A list may span several lines.
        if let (true, Some(field)) = (self.has_policy, &text.policy_field) {
            headers.append(POLICY, field.clone());
        }
        if let Some(field) = self.limit {
            headers.append(LIMIT, field);
        }
        if let Some(legacy) = self.legacy {
            legacy.set(headers);
        }
    }
}
