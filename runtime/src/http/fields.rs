//! `RateLimit-Policy` and `RateLimit`, the fields of
//! draft-ietf-httpapi-ratelimit-headers-11: structured fields (RFC 9651), both lists with an
//! item for each quota, told apart by its name.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Policy, Quota, QuotaState};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The value of `RateLimit-Policy`, which never changes, once it has been asked for.
#[derive(Debug)]
pub(super) struct PolicyField(OnceLock<Option<HeaderValue>>);

impl PolicyField {
    pub(super) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// As [`write`], for the policy that this is the field of.
    pub(super) fn write(&self, headers: &mut HeaderMap, policy: &Policy, states: &[QuotaState]) {
        let field = self.0.get_or_init(|| value(policy_field(policy)));
        append(headers, field.clone(), value(limit_field(policy, states)));
    }
}

/// Adds the fields to a response.
pub(super) fn write(headers: &mut HeaderMap, policy: &Policy, states: &[QuotaState]) {
    append(headers, value(policy_field(policy)), value(limit_field(policy, states)));
}

/// They are added and not set, so that several policies can speak on one response: lists may
/// span several lines.
fn append(headers: &mut HeaderMap, policy: Option<HeaderValue>, limit: Option<HeaderValue>) {
    for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
        if let Some(value) = value {
            headers.append(name, value);
        }
    }
}

/// The names by which clients know the policy's quotas: the policy's own if it has one quota,
/// else that and the period.
pub(super) fn quota_names(policy: &Policy) -> impl Iterator<Item = Cow<'_, str>> {
    let label = policy.label();
    let alone = policy.quotas().len() == 1;
    policy.quotas().iter().map(move |quota| {
        if alone {
            Cow::Borrowed(label)
        } else {
            Cow::Owned(format!("{label}-{:?}", quota.period()))
        }
    })
}

/// A span for clients: whole seconds, rounded up so that they never come too early.
pub(super) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// `"name";q=100;w=60`. The window is left out where it is not whole seconds: the field has
/// no fractions.
fn policy_field(policy: &Policy) -> String {
    list(quota_names(policy).zip(policy.quotas()), |field, quota: &Quota| {
        let _ = write!(field, ";q={}", quota.limit());
        if quota.period().subsec_nanos() == 0 {
            let _ = write!(field, ";w={}", quota.period().as_secs());
        }
    })
}

/// `"name";r=50;t=30`: no more than `r` for the next `t` seconds. A quota of which nothing is
/// used has nothing to wait for, and no `t`.
fn limit_field(policy: &Policy, states: &[QuotaState]) -> String {
    list(quota_names(policy).zip(states), |field, state: &QuotaState| {
        let _ = write!(field, ";r={}", state.remaining());
        if !state.more_after().is_zero() {
            let _ = write!(field, ";t={}", whole_seconds(state.more_after()));
        }
    })
}

fn list<'a, T>(
    items: impl Iterator<Item = (Cow<'a, str>, T)>,
    parameters: impl Fn(&mut String, T),
) -> String {
    let mut field = String::new();
    for (name, item) in items {
        if !field.is_empty() {
            field.push_str(", ");
        }
        push_string(&mut field, &name);
        parameters(&mut field, item);
    }
    field
}

/// A structured-fields String (RFC 9651 §3.3.3) holds printable ASCII only; what else a name
/// has, Rust identifiers of other scripts included, is percent-encoded.
fn push_string(field: &mut String, text: &str) {
    field.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                field.push('\\');
                field.push(byte.into());
            }
            b' '..=b'~' => field.push(byte.into()),
            _ => {
                let _ = write!(field, "%{byte:02X}");
            }
        }
    }
    field.push('"');
}

/// `None` for an empty list, which is not sent.
fn value(field: String) -> Option<HeaderValue> {
    if field.is_empty() { None } else { HeaderValue::try_from(field).ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sfv::{BareItem, FieldType as _, List, ListEntry, Parser};

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// What an independent parser reads: each item's name and parameters.
    fn parsed(field: &str) -> Vec<(String, Vec<(String, i64)>)> {
        let list = Parser::new(field).parse::<List>().unwrap();
        assert_eq!(list.serialize().as_deref(), Some(field), "not in canonical form");
        list.into_iter()
            .map(|entry| {
                let ListEntry::Item(item) = entry else { panic!("an inner list in {field}") };
                let BareItem::String(name) = item.bare_item else { panic!("no name in {field}") };
                let parameters = item.params.into_iter().map(|(name, value)| {
                    let BareItem::Integer(value) = value else { panic!("no integer in {field}") };
                    (name.as_str().to_owned(), value.into())
                });
                (name.as_str().to_owned(), parameters.collect())
            })
            .collect()
    }

    fn with_names(parameters: &[(&str, i64)]) -> Vec<(String, i64)> {
        parameters.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn one_quota_goes_by_the_policy_label() {
        let policy = Policy::new("app::create", Quota::new(100, secs(60))).labelled("create");
        assert_eq!(policy_field(&policy), r#""create";q=100;w=60"#);
        let state = QuotaState::new(false, 50, Duration::from_millis(29_001), secs(60));
        assert_eq!(limit_field(&policy, &[state]), r#""create";r=50;t=30"#);
    }

    #[test]
    fn several_quotas_have_names_of_their_own() {
        let policy = Policy::new("create", Quota::new(10, Duration::from_millis(250)))
            .and(Quota::new(1_000, secs(3_600)));
        let field = policy_field(&policy);
        assert_eq!(
            parsed(&field),
            [
                ("create-250ms".to_owned(), with_names(&[("q", 10)])),
                ("create-3600s".to_owned(), with_names(&[("q", 1_000), ("w", 3_600)])),
            ]
        );
    }

    #[test]
    fn an_unused_quota_has_no_window() {
        let policy = Policy::new("p", Quota::new(7, secs(1)));
        let state = QuotaState::new(false, 7, Duration::ZERO, Duration::ZERO);
        assert_eq!(limit_field(&policy, &[state]), r#""p";r=7"#);
    }

    #[test]
    fn nothing_known_is_no_field() {
        let policy = Policy::new("p", Quota::new(7, secs(1)));
        assert_eq!(value(limit_field(&policy, &[])), None);
    }

    proptest! {
        #[test]
        fn any_name_parses_and_is_a_valid_header(name in any::<String>(), limit in 1_u32..) {
            let policy = Policy::named(name, Quota::new(limit, secs(86_400)));
            let field = policy_field(&policy);
            prop_assert_eq!(&parsed(&field)[0].1, &with_names(&[("q", limit.into()), ("w", 86_400)]));
            prop_assert!(value(field).is_some());
        }

        #[test]
        fn printable_names_arrive_as_they_are(name in "[ -~]{1,40}") {
            let policy = Policy::named(name.clone(), Quota::new(1, secs(1)));
            prop_assert_eq!(&parsed(&policy_field(&policy))[0].0, &name);
        }

        #[test]
        fn seconds_are_rounded_up(micros in 0_u64..4_000_000) {
            let seconds = whole_seconds(Duration::from_micros(micros));
            prop_assert_eq!(seconds, micros.div_ceil(1_000_000));
        }
    }
}
