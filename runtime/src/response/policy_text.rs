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
    /// `true` if it is known when there is more of it, which it is not for requests in flight.
    pub(super) has_times: bool,
    /// The quota in words: `100 per 60s`, or `20 at a time`
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
        let quotas = described(policy).map(|(name, capacity, told)| QuotaText {
            item: format!("{};r=", structured_string(&name)),
            capacity,
            has_times: matches!(told, DescribedLimit::Quota(_)),
            text: match told {
                DescribedLimit::Quota(quota) => {
                    format!("{} per {}", quota.limit(), quota.period_text())
                }
                DescribedLimit::InFlight => format!("{capacity} at a time"),
            },
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

/// The limit that an item of the fields describes.
#[derive(Clone, Copy)]
enum DescribedLimit<'a> {
    Quota(&'a Quota),
    /// The limit on requests in flight.
    InFlight,
}

/// Returns what clients are told of a policy, in the order of a verdict's states: of each the name,
/// and the number of units. The name is the policy's label if there is one item, or else the label
/// and the period of the quota.
fn described(policy: &Policy) -> impl Iterator<Item = (Cow<'_, str>, u32, DescribedLimit<'_>)> {
    let label = policy.label();
    let quotas = policy.quotas().iter().map(DescribedLimit::Quota);
    let in_flight = policy.get_in_flight();
    let is_single = policy.quotas().len() + usize::from(in_flight.is_some()) == 1;
    let limit = in_flight.map_or(0, |it| if policy.is_blocked() { 0 } else { it.limit() });
    quotas.chain(in_flight.map(|_| DescribedLimit::InFlight)).map(move |told| {
        let (capacity, ending) = match told {
            DescribedLimit::Quota(quota) => {
                (told_capacity(policy, quota), quota.period_text().replace(" in ", "-"))
            }
            DescribedLimit::InFlight => (limit, "in-flight".to_owned()),
        };
        let name = match is_single {
            true => Cow::Borrowed(label),
            false => Cow::Owned(format!("{label}-{ending}")),
        };
        (name, capacity, told)
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
/// more than `q` units ever remain. The rate is the same as that of its limit and its period. A limit
/// on requests in flight is an item such as `"name";q=20;qu="concurrent-requests"`.
pub(super) fn policy_field(policy: &Policy) -> String {
    let mut field = String::new();
    for (name, capacity, told) in described(policy) {
        let separator = if field.is_empty() { "" } else { ", " };
        let unit = match told {
            DescribedLimit::Quota(quota) => window(quota, capacity),
            DescribedLimit::InFlight => r#";qu="concurrent-requests""#.to_owned(),
        };
        let _ = write!(field, "{separator}{};q={capacity}{unit}", structured_string(&name));
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
