//! Tests of header fields.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use proptest::prelude::*;
use sfv::{BareItem, FieldType as _, List, ListEntry, Parser};

use super::header_style::LegacyReset;
use super::legacy_headers::{LEGACY_LIMIT, LEGACY_REMAINING, LEGACY_RESET, LegacyHeaders};
use super::policy_text::policy_field;
use super::reset_time::{ResetTime, WallClocks};
use super::seconds::{LONGEST_WAIT, wait_seconds, whole_seconds};
use super::*;
use crate::verdict::Verdict;
use crate::{Decision, Outcome, Policy, Quota, QuotaState, SystemClock};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Takes stamps as they are.
fn reset(meaning: LegacyReset) -> ResetTime {
    let fallback = Arc::new(SystemClock::new());
    ResetTime { meaning, clocks: WallClocks { store: None, fallback } }
}

fn limit_field(policy: &Policy, states: &[QuotaState]) -> Option<String> {
    let (text, verdict) = (PolicyText::new(policy), verdict(Outcome::Allowed, states));
    let items =
        LimitState::new(&text, &verdict, HeaderStyle::Ietf, &reset(LegacyReset::Epoch)).items();
    Some(limit_field::limit_field(&items)?.to_str().unwrap().to_owned())
}

fn verdict(outcome: Outcome, states: &[QuotaState]) -> Verdict {
    let mut verdict = Verdict::new(outcome, 999_000);
    states.iter().for_each(|state| verdict.push(*state));
    verdict
}

/// Returns each item's name and parameters, as the parser of another library reads them.
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
    let write = |headers: &mut HeaderMap, limit, remaining| {
        let state = QuotaState::new(false, remaining, secs(1), Duration::from_millis(1_500));
        let values = LegacyHeaders::new(limit, Some(&state), 0, LegacyReset::Delta);
        values.set_if_tighter(headers);
    };
    let mut headers = HeaderMap::new();
    write(&mut headers, 100, 50);
    write(&mut headers, 10, 9);
    write(&mut headers, 1_000, 10);
    assert_eq!(legacy(&headers), [Some("10"), Some("9"), Some("2")]);

    let several = Policy::new("p", Quota::new(5, secs(1))).and(Quota::new(100, secs(60)));
    let text = PolicyText::new(&several);
    let state = |exceeded, remaining| QuotaState::new(exceeded, remaining, secs(1), secs(1));
    let mut headers = HeaderMap::new();
    // A cost of 4 is refused only by the quota with 3 units remaining.
    let refused = Outcome::Refused { retry_after: secs(1) };
    let refused = verdict(refused, &[state(false, 1), state(true, 3)]);
    let refused = LimitState::new(&text, &refused, HeaderStyle::Legacy, &reset(LegacyReset::Epoch));
    refused.legacy(LegacyReset::Epoch).unwrap().set(&mut headers);
    assert_eq!(legacy(&headers), [Some("100"), Some("3"), Some("2")]);
}

/// Answers a refusal of `own` (2 per second) with two limits behind it, each in the style `Both`.
fn with_behind(own: Outcome, behind: [(Outcome, QuotaState); 2]) -> (u16, [String; 4], String) {
    let policies = ["own", "b", "c"].map(|name| Policy::new(name, Quota::new(2, secs(1))));
    let texts = policies.each_ref().map(PolicyText::new);
    let state = QuotaState::new(true, 0, secs(1), secs(1));
    let decision = Decision::without_receipt(verdict(own, &[state]));
    let [b, c] = behind.map(|(outcome, state)| verdict(outcome, &[state]));
    let behind = [(&texts[1], &b), (&texts[2], &c)].map(|(text, verdict)| {
        LimitState::new(text, verdict, HeaderStyle::Both, &reset(LegacyReset::Delta))
    });
    let reason = Reason::of(&decision);
    let refusal = Refusal::new(&policies[0], &texts[0], reason, None).with_behind(&behind);
    let options = HttpOptions::new().legacy_reset(LegacyReset::Delta);
    let options = options.effective(WallClocks::of(SystemClock::new()));
    let context = RefusalContext {
        options: &options,
        headers: HeaderStyle::Both,
        function: None,
        passes_limits: true,
    };
    let response = context.respond(&refusal);
    let fields = ["retry-after", "ratelimit-policy", "ratelimit", "x-ratelimit-reset"];
    let fields = fields.map(|name| {
        let lines = response.headers().get_all(name).iter();
        let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap()).collect();
        lines.join(", ").replace("\"", "")
    });
    let detail = serde_json::from_slice::<serde_json::Value>(&refusal.problem_json()).unwrap();
    (response.status().as_u16(), fields, detail["detail"].as_str().unwrap().to_owned())
}

#[test]
fn limits_behind_the_refusing_one_have_their_say() {
    let refused = |span| Outcome::Refused { retry_after: secs(span) };
    let exceeded = |span| (refused(span), QuotaState::new(true, 0, secs(1), secs(span)));
    let admits = (Outcome::Allowed, QuotaState::new(false, 1, secs(9), secs(9)));
    let never = QuotaState::new(true, 2, Duration::ZERO, Duration::ZERO).with_retry_after(None);
    let never = (Outcome::Never, never);
    let policies = "own;q=2;w=1, b;q=2;w=1, c;q=2;w=1";
    let limits = |count| vec!["of 2 per 1s"; count].join(" and ");
    let none = [admits; 2];
    // The answer, and the number of limits that its text names.
    for (own, behind, status, [retry_after, items, reset], count) in [
        // They would admit the request: nothing is said of times beyond the retry.
        (refused(1), none, 429, ["1", "own;r=0;t=1, b;r=1, c;r=1", "1"], 1),
        (refused(9), none, 429, ["9", "own;r=0;t=9, b;r=1;t=9, c;r=1;t=9", "1"], 1),
        (refused(1), [admits, exceeded(7)], 429, ["7", "c;r=0;t=7, own;r=0;t=1, b;r=1", "7"], 2),
        (
            refused(1),
            [exceeded(8), exceeded(7)],
            429,
            ["8", "b;r=0;t=8, own;r=0;t=1, c;r=0;t=1", "8"],
            3,
        ),
        // Of two waits that are as long, the first decides.
        (refused(7), [exceeded(7), admits], 429, ["7", "own;r=0;t=7, b;r=0;t=1, c;r=1", "1"], 2),
        // No wait helps.
        (refused(1), [never, exceeded(7)], 413, ["", "b;r=2, own;r=0, c;r=0", "0"], 1),
        (Outcome::Never, [admits, exceeded(7)], 413, ["", "own;r=0, b;r=1, c;r=0", "1"], 2),
    ] {
        let (found_status, fields, found_detail) = with_behind(own, behind);
        let detail = match status {
            429 => format!("Limit {} reached; retry in {retry_after}s.", limits(count)),
            _ => format!("This request alone is more than the limit {} allows.", limits(count)),
        };
        assert_eq!(fields, [retry_after, policies, items, reset], "{own:?} {behind:?}");
        assert_eq!((found_status, found_detail), (status, detail), "{own:?} {behind:?}");
    }
    let blocked = (Outcome::Blocked, QuotaState::new(false, 2, secs(0), secs(0)));
    let (status, fields, detail) = with_behind(refused(1), [blocked, admits]);
    let reached = "Limit of 2 per 1s reached.".to_owned();
    assert_eq!((status, fields[0].as_str(), detail), (429, "", reached));
    let (status, fields, _) = with_behind(Outcome::Blocked, [exceeded(7), admits]);
    assert_eq!((status, fields[0].as_str()), (403, ""));
}

proptest! {
    #[test]
    fn any_name_parses_and_is_a_valid_header(name in any::<String>(), limit in 1_u32..) {
        let policy = Policy::named(name, Quota::new(limit, secs(86_400)));
        let field = policy_field(&policy);
        prop_assert_eq!(&parsed(&field)[0].1, &with_names(&[("q", limit.into()), ("w", 86_400)]));
        let text = PolicyText::new(&policy);
        prop_assert!(text.policy_field.is_some());
        let state = QuotaState::new(false, 0, Duration::ZERO, Duration::ZERO);
        let field = limit_field(&policy, &[state]).unwrap();
        prop_assert_eq!(&parsed(&field)[0].1, &with_names(&[("r", 0)]));
    }

    #[test]
    fn printable_names_arrive_as_they_are(name in "[ -~]{1,40}") {
        let policy = Policy::named(name.clone(), Quota::new(1, secs(1)));
        prop_assert_eq!(&parsed(&policy_field(&policy))[0].0, &name);
    }

    #[test]
    fn an_item_has_its_numbers(remaining: u32, seconds in 0_u64..u64::MAX >> 20) {
        let policy = Policy::new("p", Quota::new(1, secs(1)));
        let state = QuotaState::new(false, remaining, secs(seconds), secs(seconds));
        let window = match seconds.min(LONGEST_WAIT) {
            0 => String::new(),
            told => format!(";t={told}"),
        };
        let field = limit_field(&policy, &[state]).unwrap();
        prop_assert_eq!(field, format!("\"p\";r={remaining}{window}"));
    }

    #[test]
    fn seconds_are_rounded_up(micros in 0_u64..4_000_000) {
        let seconds = whole_seconds(Duration::from_micros(micros));
        prop_assert_eq!(seconds, micros.div_ceil(1_000_000));
        prop_assert_eq!(wait_seconds(Duration::from_micros(micros)), seconds);
    }
}
