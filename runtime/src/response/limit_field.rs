//! The field `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11. It is a structured field (RFC
//! 9651): a list with an item for each quota.

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue};

use super::policy_text::QuotaText;

pub(super) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(super) const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The separator between the items of a list.
pub(super) const SEPARATOR: &[u8] = b", ";
/// The text before the number of seconds in an item.
const WINDOW: &[u8] = b";t=";

/// An item such as `"name";r=50;t=30`: `r` units remain, and no more for the next `t` seconds. No
/// parameter stands between the two, because some clients look for them side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitItem<'a> {
    pub(super) text: &'a QuotaText,
    pub(super) remaining: u32,
    /// The value of `t`. It is left out if it is 0: an unused quota cannot be replenished further.
    pub(super) seconds: u64,
}

impl LimitItem<'_> {
    /// Returns the length of the item and of the separator behind it.
    pub(super) fn len(&self) -> usize {
        let window = if self.seconds > 0 { WINDOW.len() + digits(self.seconds) } else { 0 };
        self.text.item.len() + digits(self.remaining.into()) + window + SEPARATOR.len()
    }
}

/// Formats the items as a list. Returns `None` if there are none.
pub(super) fn limit_field(items: &[LimitItem<'_>]) -> Option<HeaderValue> {
    // The vector is created with its final capacity, so that it becomes a header value without a
    // copy.
    let len: usize = items.iter().map(LimitItem::len).sum();
    let mut field = Vec::with_capacity(len.checked_sub(SEPARATOR.len())?);
    for item in items {
        if !field.is_empty() {
            field.extend_from_slice(SEPARATOR);
        }
        field.extend_from_slice(item.text.item.as_bytes());
        push_number(&mut field, item.remaining.into());
        if item.seconds > 0 {
            field.extend_from_slice(WINDOW);
            push_number(&mut field, item.seconds);
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(field)).ok()
}

/// Appends a number in decimal. It runs for every request, so it avoids `fmt`.
fn push_number(field: &mut Vec<u8>, number: u64) {
    field.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Returns the number of decimal digits of `number`.
fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}
