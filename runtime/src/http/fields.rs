//! The header fields of a response: `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers-11, which are structured fields (RFC 9651), lists with
//! an item for each quota; and the older `X-RateLimit-*`.
//!
//! What depends on the policy alone is written once.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::options::{HeaderStyle, LegacyReset};
use crate::Verdict;
use crate::{Policy, Quota, QuotaState};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What parts the items of a list.
const SEPARATOR: &[u8] = b", ";
/// What stands before the seconds.
const WINDOW: &[u8] = b";t=";

/// What of the fields and of refusals never changes, once it has been asked for.
#[derive(Debug)]
pub(crate) struct Fields {
    texts: OnceLock<Texts>,
    /// Whether they stand in a static, and so are never dropped.
    in_static: bool,
}

impl Fields {
    pub(crate) const fn new() -> Self {
        Self { texts: OnceLock::new(), in_static: false }
    }

    pub(super) const fn in_static() -> Self {
        Self { texts: OnceLock::new(), in_static: true }
    }

    pub(super) fn texts(&self, policy: &Policy) -> &Texts {
        let new = if self.in_static { Texts::in_static } else { Texts::new };
        self.texts.get_or_init(|| new(policy))
    }
}

/// A policy in the words of its fields and its refusals.
#[derive(Debug)]
pub(crate) struct Texts {
    /// `"name";q=100;w=60`, for each quota.
    policy_field: Option<HeaderValue>,
    /// The policy's label as a JSON string.
    pub(super) label_json: String,
    pub(super) quotas: SmallVec<[QuotaTexts; 1]>,
}

/// A quota in their words.
#[derive(Debug)]
pub(crate) struct QuotaTexts {
    /// `"name";r=`
    item: String,
    limit: u32,
    /// `100 per 60s`
    pub(super) text: String,
    /// The name by which clients know the quota.
    pub(super) name: String,
    /// That as a JSON string.
    pub(super) name_json: String,
}

impl QuotaTexts {
    /// The length of its item in the field, and of what parts that from the next one.
    fn item_len(&self, (remaining, seconds): (u32, u64)) -> usize {
        let window = if seconds > 0 { WINDOW.len() + digits(seconds) } else { 0 };
        self.item.len() + digits(remaining.into()) + window + SEPARATOR.len()
    }
}

impl Texts {
    pub(super) fn new(policy: &Policy) -> Self {
        Self::with_field(policy, policy_field(policy).into())
    }

    /// As [`new`](Self::new), for what is never dropped: nobody has to count who uses the field.
    fn in_static(policy: &Policy) -> Self {
        Self::with_field(policy, Bytes::from_static(policy_field(policy).leak().as_bytes()))
    }

    fn with_field(policy: &Policy, field: Bytes) -> Self {
        let quotas = quota_names(policy).zip(policy.quotas()).map(|(name, quota)| QuotaTexts {
            item: format!("{};r=", structured(&name)),
            limit: quota.limit(),
            text: format!("{} per {:?}", quota.limit(), quota.period()),
            name_json: json_string(&name),
            name: name.into_owned(),
        });
        Self {
            policy_field: HeaderValue::from_maybe_shared(field).ok(),
            label_json: json_string(policy.label()),
            quotas: quotas.collect(),
        }
    }

    /// The fields; `verdict` is what there is to say of now, if anything.
    pub(super) fn write(
        &self,
        verdict: Option<&Verdict>,
        style: HeaderStyle,
        reset: LegacyReset,
    ) -> Written {
        let states = verdict.map(Verdict::quotas).unwrap_or_default();
        Written {
            ietf: style.has_ietf(),
            limit_field: if style.has_ietf() { self.limit_field(states) } else { None },
            legacy: if style.has_legacy() {
                self.legacy(states, verdict.map(Verdict::stamp_micros), reset)
            } else {
                None
            },
        }
    }

    /// Adds them to a response.
    pub(super) fn add(&self, headers: &mut HeaderMap, written: Written) {
        // They are added and not set, so that several policies can speak on one response: lists
        // may span several lines.
        if let (true, Some(field)) = (written.ietf, &self.policy_field) {
            headers.append(POLICY, field.clone());
        }
        if let Some(field) = written.limit_field {
            headers.append(LIMIT, field);
        }
        if let Some(legacy) = written.legacy {
            legacy.add(headers);
        }
    }

    /// `"name";r=50;t=30`: no more than `r` for the next `t` seconds. A quota of which nothing
    /// is used has nothing to wait for, and no `t`.
    fn limit_field(&self, states: &[QuotaState]) -> Option<HeaderValue> {
        let figures = |state: &QuotaState| (state.remaining(), whole_seconds(state.more_after()));
        let quotas = || self.quotas.iter().zip(states.iter().map(figures));
        // Just as long as it gets, so that it becomes a header's value as it is.
        let len: usize = quotas().map(|(texts, figures)| texts.item_len(figures)).sum();
        let mut field = Vec::with_capacity(len.checked_sub(SEPARATOR.len())?);
        for (texts, (remaining, seconds)) in quotas() {
            if !field.is_empty() {
                field.extend_from_slice(SEPARATOR);
            }
            field.extend_from_slice(texts.item.as_bytes());
            push_number(&mut field, remaining.into());
            if seconds > 0 {
                field.extend_from_slice(WINDOW);
                push_number(&mut field, seconds);
            }
        }
        HeaderValue::from_maybe_shared(Bytes::from(field)).ok()
    }

    /// They have room for one quota: the one that refused the longest, else the one of which
    /// the least remains.
    fn legacy(
        &self,
        states: &[QuotaState],
        stamp_micros: Option<u64>,
        reset: LegacyReset,
    ) -> Option<Legacy> {
        let tightest = self.quotas.iter().zip(states).min_by_key(|(_, state)| {
            let refuses_for = state.is_exceeded().then(|| state.more_after());
            (std::cmp::Reverse(refuses_for), state.remaining())
        });
        let Some((texts, state)) = tightest else {
            return self.quotas.first().map(|texts| Legacy { limit: texts.limit, now: None });
        };
        let reset_after = state.reset_after();
        let reset = match reset {
            LegacyReset::Delta => whole_seconds(reset_after),
            LegacyReset::Epoch => {
                let stamp = Duration::from_micros(stamp_micros.unwrap_or_default());
                whole_seconds(stamp.saturating_add(reset_after))
            }
        };
        Some(Legacy { limit: texts.limit, now: Some((state.remaining(), reset)) })
    }
}

/// The fields of one decision, to be added to its response.
#[derive(Debug)]
pub(super) struct Written {
    ietf: bool,
    limit_field: Option<HeaderValue>,
    legacy: Option<Legacy>,
}

impl Written {
    pub(super) const NOTHING: Self = Self { ietf: false, limit_field: None, legacy: None };
}

/// The older fields.
#[derive(Debug)]
struct Legacy {
    limit: u32,
    /// What remains, and the reset.
    now: Option<(u32, u64)>,
}

impl Legacy {
    /// Where several policies speak on one response, the one of which the least remains does.
    fn add(self, headers: &mut HeaderMap) {
        let Some((remaining, reset)) = self.now else {
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

/// The names by which clients know the policy's quotas: the policy's own if it has one quota,
/// else that and the period.
fn quota_names(policy: &Policy) -> impl Iterator<Item = Cow<'_, str>> {
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

/// In decimal, without the machinery of formatting: this is done for every request.
fn push_number(field: &mut Vec<u8>, number: u64) {
    field.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// How long that is.
fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// `"name";q=100;w=60`. The window is left out where it is not whole seconds: the field has
/// no fractions.
fn policy_field(policy: &Policy) -> String {
    let mut field = String::new();
    for (name, quota) in quota_names(policy).zip(policy.quotas()) {
        let separator = if field.is_empty() { "" } else { ", " };
        let _ =
            write!(field, "{separator}{};q={}{}", structured(&name), quota.limit(), window(quota));
    }
    field
}

fn window(quota: &Quota) -> String {
    match quota.period().subsec_nanos() {
        0 => format!(";w={}", quota.period().as_secs()),
        _ => String::new(),
    }
}

/// A structured-fields String (RFC 9651 §3.3.3) holds printable ASCII only; what else a name
/// has, Rust identifiers of other scripts included, is percent-encoded.
fn structured(text: &str) -> String {
    let mut string = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                string.push('\\');
                string.push(byte.into());
            }
            b' '..=b'~' => string.push(byte.into()),
            _ => {
                let _ = write!(string, "%{byte:02X}");
            }
        }
    }
    string.push('"');
    string
}

/// Text always serializes.
pub(super) fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sfv::{BareItem, FieldType as _, List, ListEntry, Parser};

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn limit_field(policy: &Policy, states: &[QuotaState]) -> Option<String> {
        let field = Texts::new(policy).limit_field(states)?;
        Some(field.to_str().unwrap().to_owned())
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
        assert_eq!(limit_field(&policy, &[state]).unwrap(), r#""create";r=50;t=30"#);
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
        let states = [
            QuotaState::new(true, 0, Duration::from_millis(200), secs(1)),
            QuotaState::new(false, 0, Duration::ZERO, Duration::ZERO),
        ];
        let field = limit_field(&policy, &states).unwrap();
        assert_eq!(parsed(&field)[0].1, with_names(&[("r", 0), ("t", 1)]));
        assert_eq!(parsed(&field)[1].1, with_names(&[("r", 0)]));
    }

    #[test]
    fn an_unused_quota_has_no_window() {
        let policy = Policy::new("p", Quota::new(7, secs(1)));
        let state = QuotaState::new(false, 7, Duration::ZERO, Duration::ZERO);
        assert_eq!(limit_field(&policy, &[state]).unwrap(), r#""p";r=7"#);
    }

    #[test]
    fn nothing_known_is_no_field() {
        assert_eq!(limit_field(&Policy::new("p", Quota::new(7, secs(1))), &[]), None);
    }

    fn legacy(headers: &HeaderMap) -> [Option<&str>; 3] {
        [LEGACY_LIMIT, LEGACY_REMAINING, LEGACY_RESET]
            .map(|name| headers.get(name).map(|value| value.to_str().unwrap()))
    }

    #[test]
    fn legacy_fields_are_of_the_tightest_quota() {
        let texts = |name, limit| Texts::new(&Policy::new(name, Quota::new(limit, secs(60))));
        let write = |headers: &mut HeaderMap, limit, remaining| {
            let state = QuotaState::new(false, remaining, secs(1), Duration::from_millis(1_500));
            let reset = LegacyReset::Delta;
            texts("p", limit).legacy(&[state], Some(0), reset).unwrap().add(headers);
        };
        let mut headers = HeaderMap::new();
        write(&mut headers, 100, 50);
        write(&mut headers, 10, 9);
        write(&mut headers, 1_000, 10);
        assert_eq!(legacy(&headers), [Some("10"), Some("9"), Some("2")]);

        let several = Policy::new("p", Quota::new(5, secs(1))).and(Quota::new(100, secs(60)));
        let state = |exceeded, remaining| QuotaState::new(exceeded, remaining, secs(1), secs(1));
        let mut headers = HeaderMap::new();
        // A cost of 4 is refused by the one of which 3 remain.
        let states = [state(false, 1), state(true, 3)];
        let stamp = Some(999_000);
        let fields = Texts::new(&several).legacy(&states, stamp, LegacyReset::Epoch);
        fields.unwrap().add(&mut headers);
        assert_eq!(legacy(&headers), [Some("100"), Some("3"), Some("2")]);
    }

    proptest! {
        #[test]
        fn any_name_parses_and_is_a_valid_header(name in any::<String>(), limit in 1_u32..) {
            let policy = Policy::named(name, Quota::new(limit, secs(86_400)));
            let field = policy_field(&policy);
            prop_assert_eq!(&parsed(&field)[0].1, &with_names(&[("q", limit.into()), ("w", 86_400)]));
            let texts = Texts::new(&policy);
            prop_assert!(texts.policy_field.is_some());
            let field = texts.limit_field(&[QuotaState::new(false, 0, Duration::ZERO, Duration::ZERO)]).unwrap();
            prop_assert_eq!(&parsed(field.to_str().unwrap())[0].1, &with_names(&[("r", 0)]));
        }

        #[test]
        fn printable_names_arrive_as_they_are(name in "[ -~]{1,40}") {
            let policy = Policy::named(name.clone(), Quota::new(1, secs(1)));
            prop_assert_eq!(&parsed(&policy_field(&policy))[0].0, &name);
        }

        #[test]
        fn the_length_of_an_item_is_known(remaining: u32, seconds in 0_u64..u64::MAX >> 20) {
            let policy = Policy::new("p", Quota::new(1, secs(1)));
            let texts = Texts::new(&policy);
            let state = QuotaState::new(false, remaining, secs(seconds), secs(seconds));
            // Longer spans than can be counted in microseconds are cut off.
            let seconds = whole_seconds(state.more_after());
            let len = texts.quotas[0].item_len((remaining, seconds));
            let field = texts.limit_field(&[state]).unwrap();
            prop_assert_eq!(field.len(), len - SEPARATOR.len());
        }

        #[test]
        fn seconds_are_rounded_up(micros in 0_u64..4_000_000) {
            let seconds = whole_seconds(Duration::from_micros(micros));
            prop_assert_eq!(seconds, micros.div_ceil(1_000_000));
        }
    }
}
