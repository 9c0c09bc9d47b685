//! Overrides from and to periods of a calendar.

use std::time::Duration;

use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Calendar, Limiter, MemoryBackend, Override, Overrides, PerSubject, Policy, Quota,
};

use support::almanac::Almanac;

const MONTHLY: Policy =
    Policy::new("monthly", Quota::calendar(10, Calendar::Month, "Europe/Berlin"))
        .algorithm(Algorithm::FixedWindow);
const HOURLY: Policy = Policy::new("hourly", Quota::per_hour(10));
const NOON: u64 = 1_750_000_000_000_000;

fn limiter() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    clock.set_micros(NOON);
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).declare(MONTHLY).declare(HOURLY).build(), clock)
}

fn with(name: &str, changes: Override) -> Overrides {
    Overrides::new().with(name, changes)
}

fn said(limiter: &Limiter, policy: &Policy, cost: u32) -> (bool, u32, u64) {
    let decision = limiter.check_now(policy, "s", cost).unwrap().unwrap();
    let [state] = decision.quotas() else { panic!("{decision:?}") };
    let reset = u64::try_from(state.reset_after().as_micros()).unwrap();
    (decision.is_allowed(), state.remaining(), NOON + reset)
}

#[test]
fn a_limit_alone_leaves_the_calendar() {
    let (limiter, _clock) = limiter();
    let (_, end) = Almanac { unit: Calendar::Month, zone: "Europe/Berlin" }.window(NOON);
    assert_eq!(said(&limiter, &MONTHLY, 4), (true, 6, end));
    limiter.set_overrides(with("monthly", Override::new().limit(5))).unwrap();
    assert_eq!(said(&limiter, &MONTHLY, 1), (true, 0, end));
    assert_eq!(said(&limiter, &MONTHLY, 1), (false, 0, end));
}

#[test]
fn to_a_length_and_back_everything_is_remembered() {
    let (limiter, _clock) = limiter();
    let (_, end) = Almanac { unit: Calendar::Month, zone: "Europe/Berlin" }.window(NOON);
    assert_eq!(said(&limiter, &MONTHLY, 4).1, 6);
    let day = Override::new().per(Duration::from_secs(86_400));
    limiter.set_overrides(with("monthly", day)).unwrap();
    assert_eq!(said(&limiter, &MONTHLY, 3), (true, 3, NOON + 86_400_000_000));
    limiter.set_overrides(Overrides::new()).unwrap();
    assert_eq!(said(&limiter, &MONTHLY, 1), (true, 2, end));
}

#[test]
fn to_a_calendar_with_its_algorithm() {
    let (limiter, _clock) = limiter();
    let (_, end) = Almanac { unit: Calendar::Week, zone: "Asia/Kathmandu" }.window(NOON);
    assert_eq!(said(&limiter, &HOURLY, 4).1, 6);
    let week = Override::new().calendar(Calendar::Week, "Asia/Kathmandu");
    assert_eq!(week.get_calendar(), Some((Calendar::Week, "Asia/Kathmandu")));
    let week = week.algorithm(Algorithm::FixedWindow).limit(20);
    assert_eq!(week.to_string(), "limit=20 per=[week in Asia/Kathmandu] algorithm=fixed_window");
    limiter.set_overrides(with("hourly", week)).unwrap();
    assert_eq!(said(&limiter, &HOURLY, 1), (true, 15, end));
}

#[test]
fn what_cannot_be_is_an_error() {
    let (limiter, _clock) = limiter();
    for (name, changes, expected) in [
        (
            "hourly",
            Override::new().calendar(Calendar::Day, "Europe/Berlin"),
            "policies.\"hourly\".algorithm: it has a period of the calendar, which only \
             `fixed_window` has: use that algorithm, or a period with a length",
        ),
        (
            "monthly",
            Override::new().calendar(Calendar::Day, "Europe/Berlim"),
            "policies.\"monthly\".per: unknown time zone `Europe/Berlim`: did you mean \
             `Europe/Berlin`?",
        ),
        (
            "monthly",
            Override::new().calendar(Calendar::Day, "Mittelerde"),
            "policies.\"monthly\".per: unknown time zone `Mittelerde`: write a name of the IANA \
             database, such as `Europe/Berlin`, or `UTC`",
        ),
        (
            "monthly",
            Override::new().algorithm(Algorithm::Gcra),
            "policies.\"monthly\".algorithm: it has a period of the calendar, which only \
             `fixed_window` has: use that algorithm, or a period with a length",
        ),
        (
            "monthly",
            Override::new().burst(3),
            "policies.\"monthly\".burst: `fixed_window` has no bucket: leave `burst` out, or set \
             `algorithm` to `token_bucket`, `leaky_bucket` or `gcra`",
        ),
    ] {
        let error = limiter.set_overrides(with(name, changes)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// What is wrong in the override of one subject narrows: the subject gets what both admit.
#[test]
fn a_wrong_override_of_a_subject_narrows() {
    for (changes, policy, admitted) in [
        // The zone could be any, so of two windows that do not open together each has the half.
        (Override::new().calendar(Calendar::Month, "Mittelerde").limit(6), MONTHLY, 3),
        (Override::new().calendar(Calendar::Day, "UTC").limit(6), HOURLY, 6),
        (Override::new().algorithm(Algorithm::Gcra).limit(6), MONTHLY, 6),
        (Override::new().calendar(Calendar::Month, "UTC").limit(6).burst(2), MONTHLY, 2),
    ] {
        let clock = ManualClock::new();
        clock.set_micros(NOON);
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let wrong = changes.clone();
        let subjects = PerSubject::new(move |_, _| Some(wrong.clone()));
        let limiter = Limiter::builder(backend).per_subject(subjects).build();
        let check = || limiter.check_now(&policy, "s", 1).unwrap().unwrap().is_allowed();
        let passed = (0..20).filter(|_| check()).count();
        assert_eq!(passed, admitted, "{changes}");
    }
}
