//! The texts that depend only on a policy: its field `RateLimit-Policy`, and the names of its
//! quotas.

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::body::Bytes;
use axum::http::HeaderValue;
use smallvec::SmallVec;

use super::json::json_string;
use super::structured::structured_string;
use crate::{Policy, Quota};

/// The texts with which header fields and refusals describe a policy, formatted once.
#[derive(Debug)]
pub(crate) struct PolicyText {
    /// The value of `RateLimit-Policy`, with an item such as `"name";q=100;w=60` for each quota.
    pub(super) policy_field: Option<HeaderValue>,
    /// The policy's label as a JSON string.
    pub(super) label_json: String,
    pub(super) quotas: SmallVec<[QuotaText; 1]>,
}

/// The texts with which header fields and refusals describe a quota.
#[derive(Debug)]
pub(super) struct QuotaText {
    /// The start of the quota's item in the field `RateLimit`: `"name";r=`
    pub(super) item: String,
    /// The number of units that can be admitted at once: the burst of a bucket, or else the limit.
    pub(super) capacity: u32,
    /// The quota in words: `100 per 60s`
    pub(super) text: String,
    /// The quota's name for clients.
    pub(super) name: String,
    /// The quota's name for clients as a JSON string.
    pub(super) name_json: String,
}

impl PolicyText {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self::with_field(policy, policy_field(policy).into())
    }

    /// Formats the texts of a policy in a static. The field's bytes are leaked, because responses
    /// can then share them without a reference count.
    pub(super) fn in_static(policy: &Policy) -> Self {
        Self::with_field(policy, Bytes::from_static(policy_field(policy).leak().as_bytes()))
    }

    fn with_field(policy: &Policy, field: Bytes) -> Self {
        let quotas = quota_names(policy).zip(policy.quotas()).map(|(name, quota)| QuotaText {
            item: format!("{};r=", structured_string(&name)),
            capacity: told_capacity(policy, quota),
            text: format!("{} per {}", quota.limit(), quota.period_text()),
            name_json: json_string(&name),
            name: name.into_owned(),
        });
        Self {
            policy_field: HeaderValue::from_maybe_shared(field).ok(),
            label_json: json_string(policy.label()),
            quotas: quotas.collect(),
        }
    }
}

/// Returns the names of the policy's quotas for clients: the policy's label if there is one quota,
/// or else the label and the period of each quota.
fn quota_names(policy: &Policy) -> impl Iterator<Item = Cow<'_, str>> {
    let label = policy.label();
    let is_single = policy.quotas().len() == 1;
    policy.quotas().iter().map(move |quota| {
        if is_single {
            Cow::Borrowed(label)
        } else {
            let period = quota.period_text().replace(" in ", "-");
            Cow::Owned(format!("{label}-{period}"))
        }
    })
}

/// Returns the number of units that clients are told: the size of a bucket, or else the limit.
/// Nothing is there for the clients of a blocked policy, whatever its quotas are.
fn told_capacity(policy: &Policy, quota: &Quota) -> u32 {
    match policy.get_algorithm().has_bucket() {
        _ if policy.is_blocked() => 0,
        true => quota.capacity(),
        false => quota.limit(),
    }
}

/// Formats the value of `RateLimit-Policy`, with an item such as `"name";q=100;w=60` for each
/// quota. A bucket is described by its burst and the time in which that is replenished, so that no
/// more than `q` units ever remain. The rate is the same as that of its limit and its period.
pub(super) fn policy_field(policy: &Policy) -> String {
    let mut field = String::new();
    for (name, quota) in quota_names(policy).zip(policy.quotas()) {
        let separator = if field.is_empty() { "" } else { ", " };
        let capacity = told_capacity(policy, quota);
        let (name, window) = (structured_string(&name), window(quota, capacity));
        let _ = write!(field, "{separator}{name};q={capacity}{window}");
    }
    field
}

/// Formats the parameter `w`, the time in seconds in which `capacity` units of the quota are
/// replenished. Returns an empty string if that is not a whole number of seconds, because the field
/// does not allow fractions, and for periods of a calendar, because their lengths differ.
fn window(quota: &Quota, capacity: u32) -> String {
    if capacity == 0 || quota.get_calendar().is_some() {
        // Nothing is replenished, or not in a time that is always the same.
        return String::new();
    }
    let micros = u128::from(capacity) * u128::from(quota.period_micros());
    let in_second = u128::from(quota.limit()) * 1_000_000;
    match micros % in_second {
        0 => format!(";w={}", micros / in_second),
        _ => String::new(),
    }
}
