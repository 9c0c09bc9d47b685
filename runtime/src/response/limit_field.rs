//! The field `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11. It is a structured field (RFC
//! 9651): a list with an item for each quota.

use axum::body::Bytes;
use axum::http::HeaderValue;

use super::policy_text::{PolicyText, QuotaText};
use super::seconds::whole_seconds;
use crate::QuotaState;

/// The separator between the items of a list.
pub(super) const SEPARATOR: &[u8] = b", ";
/// The text before the number of seconds in an item.
const WINDOW: &[u8] = b";t=";

/// Formats an item such as `"name";r=50;t=30` for each quota: `r` units remain, and no more for the
/// next `t` seconds. An unused quota has no `t`, because it cannot be replenished further. Returns
/// `None` if no quota's state is known.
pub(super) fn limit_field(text: &PolicyText, states: &[QuotaState]) -> Option<HeaderValue> {
    let figures = |state: &QuotaState| (state.remaining(), whole_seconds(state.more_after()));
    let quotas = || text.quotas.iter().zip(states.iter().map(figures));
    // The vector is created with its final capacity, so that it becomes a header value without a
    // copy.
    let len: usize = quotas().map(|(quota, figures)| item_len(quota, figures)).sum();
    let mut field = Vec::with_capacity(len.checked_sub(SEPARATOR.len())?);
    for (quota, (remaining, seconds)) in quotas() {
        if !field.is_empty() {
            field.extend_from_slice(SEPARATOR);
        }
        field.extend_from_slice(quota.item.as_bytes());
        push_number(&mut field, remaining.into());
        if seconds > 0 {
            field.extend_from_slice(WINDOW);
            push_number(&mut field, seconds);
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(field)).ok()
}

/// Returns the length of a quota's item and of the separator behind it.
pub(super) fn item_len(quota: &QuotaText, (remaining, seconds): (u32, u64)) -> usize {
    let window = if seconds > 0 { WINDOW.len() + digits(seconds) } else { 0 };
    quota.item.len() + digits(remaining.into()) + window + SEPARATOR.len()
}

/// Appends a number in decimal. It runs for every request, so it avoids `fmt`.
fn push_number(field: &mut Vec<u8>, number: u64) {
    field.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Returns the number of decimal digits of `number`.
fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}
