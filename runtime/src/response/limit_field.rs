//! The field `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11. It is a structured field (RFC
//! 9651): a list with an item for each quota.

use axum::http::{HeaderName, HeaderValue};

use super::policy_text::QuotaText;
use super::text::Text;

pub(super) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(super) const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The separator between the items of a list.
const SEPARATOR: &str = ", ";
/// The text before the number of seconds in an item.
const WINDOW: &str = ";t=";

/// An item such as `"name";r=50;t=30`: `r` units remain, and no more for the next `t` seconds. No
/// parameter stands between the two, because some clients look for them side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitItem<'a> {
    pub(super) text: &'a QuotaText,
    pub(super) remaining: u32,
    /// The value of `t`. It is left out if it is 0: an unused quota cannot be replenished further.
    pub(super) seconds: u64,
}

/// Formats the items as a list. Returns `None` if there are none.
pub(super) fn limit_field(items: &[LimitItem<'_>]) -> Option<HeaderValue> {
    let mut field = Text::new();
    for item in items {
        if !field.is_empty() {
            field.push(SEPARATOR);
        }
        field.push(&item.text.item);
        field.push_number(item.remaining.into());
        if item.seconds > 0 {
            field.push(WINDOW);
            field.push_number(item.seconds);
        }
    }
    if field.is_empty() { None } else { field.to_field() }
}
