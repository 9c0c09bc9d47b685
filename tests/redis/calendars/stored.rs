//! What is stored: for as long as the window lasts, and readable by releases with other calendars.

use std::time::Duration;

use tollgate::{
    Algorithm, Calendar, Limiter, LocalTier, Outcome, Override, Overrides, Policy, Quota,
    RedisBackend,
};

use crate::timed::{PATIENCE, Timed};
use support::almanac::Almanac;
use support::reference::micros;

const AT: u64 = 1_750_000_000_000_000;
const WEEK: Almanac = Almanac { unit: Calendar::Week, zone: "Asia/Kathmandu" };

fn policy(limit: u32) -> Policy {
    Policy::new("policy", WEEK.quota(limit)).algorithm(Algorithm::FixedWindow)
}

fn value(timed: &Timed) -> (Vec<u8>, Vec<u8>) {
    let mut connection = timed.server.connection();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let [key] = &keys[..] else { panic!("{} keys", keys.len()) };
    let value = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
    (key.clone(), value)
}

fn store(timed: &Timed, key: &[u8], value: &[u8]) {
    redis::cmd("SET").arg(key).arg(value).exec(&mut timed.server.connection()).unwrap();
}

/// The key goes when the window does. Time stands still in the test, so its key has an hour more.
#[test]
fn the_key_lives_as_long_as_the_window() {
    let timed = Timed::start();
    timed.clock.set_micros(AT);
    assert!(timed.check(&policy(2), "s", 1).is_allowed());
    let (key, _) = value(&timed);
    let millis: u64 = redis::cmd("PTTL").arg(key).query(&mut timed.server.connection()).unwrap();
    let left = (WEEK.window(AT).1 - AT) / 1_000 + 3_600_000;
    assert!((left - 60_000..=left + 2).contains(&millis), "{millis} of {left}");
}

/// A value that was cut or bent counts as a limit that is used up until the window ends.
#[test]
fn what_cannot_be_read_is_used_up_until_the_window_ends() {
    let timed = Timed::start();
    let policy = policy(3);
    timed.clock.set_micros(AT);
    assert!(timed.check(&policy, "s", 1).is_allowed());
    let (key, good) = value(&timed);
    let end = WEEK.window(AT).1;
    for length in 1..good.len() {
        timed.clock.set_micros(AT);
        store(&timed, &key, &good[..length]);
        let refused = timed.check(&policy, "s", 1);
        let retry_after = Duration::from_micros(end - AT);
        assert_eq!(refused.outcome(), Outcome::Refused { retry_after }, "{length} bytes");
        timed.clock.set_micros(end);
        assert!(timed.check(&policy, "s", 1).is_allowed());
    }
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bent = good.clone();
            bent[place] ^= 1 << bit;
            timed.clock.set_micros(AT);
            store(&timed, &key, &bent);
            // Never an error, and never more than the limit.
            let admitted = (0..5).filter(|_| timed.check(&policy, "s", 1).is_allowed()).count();
            assert!(admitted <= 3, "bit {bit} of byte {place}");
            timed.clock.set_micros(end + 400 * support::reference::DAY);
            assert!(timed.check(&policy, "s", 1).is_allowed(), "bit {bit} of byte {place}");
        }
    }
}

/// A zone that another release knows and this one does not: of another form, it is set aside until its
/// window ends; what needs its other windows cannot be read.
#[test]
fn a_zone_that_this_release_does_not_know_locks_nobody_out() {
    let timed = Timed::start();
    let hourly = Policy::new("policy", Quota::per_hour(5));
    let unknown = |actual: u32| {
        timed.runtime.block_on(timed.limiter.reset(&hourly, "s")).unwrap();
        timed.clock.set_micros(AT);
        let charge = timed.check(&policy(5), "s", 1);
        timed.runtime.block_on(timed.limiter.settle(charge, actual)).unwrap();
        let (key, mut bent) = value(&timed);
        let at = bent.windows(8).position(|bytes| bytes == b"Kathmand").unwrap();
        bent[at..at + 8].copy_from_slice(b"Shambhal");
        store(&timed, &key, &bent);
    };
    unknown(2);
    let decision = timed.check(&hourly, "s", 1);
    assert_eq!((decision.outcome(), decision.remaining()), (Outcome::Allowed, 2));
    // With a debt, the server wants to know when it ends.
    unknown(12);
    let decision = timed.check(&hourly, "s", 1);
    assert!(!decision.is_allowed());
    assert_eq!(micros(decision.quotas()[0].reset_after()), 3_600_000_000);
    timed.clock.set_micros(AT + 3_600_000_000);
    assert!(timed.check(&hourly, "s", 1).is_allowed());
}

/// Overrides, between periods of calendars and of a length, for a limiter in one process and another.
#[test]
fn overrides_from_and_to_calendars() {
    const MONTHLY: Policy =
        Policy::new("monthly", Quota::calendar(10, Calendar::Month, "Europe/Berlin"))
            .algorithm(Algorithm::FixedWindow);
    let timed = Timed::start();
    timed.clock.set_micros(AT);
    let limiters = [(); 2].map(|()| {
        let backend = RedisBackend::builder(&timed.server.url()).virtual_time(timed.clock.clone());
        let backend = backend.deadline(PATIENCE).build().unwrap();
        Limiter::builder(backend).local_tier(LocalTier::none()).declare(MONTHLY).build()
    });
    let end = |unit, zone| Almanac { unit, zone }.window(AT).1 - AT;
    let said = |limiter: &Limiter, cost| {
        let decision = timed.runtime.block_on(limiter.check_cost(&MONTHLY, "s", cost)).unwrap();
        let state = decision.quotas()[0];
        (decision.is_allowed(), state.remaining(), micros(state.reset_after()))
    };
    let day = Override::new().per(Duration::from_secs(86_400));
    let sao_paulo = Override::new().calendar(Calendar::Month, "America/Sao_Paulo");
    let month = end(Calendar::Month, "Europe/Berlin");
    let other_month = end(Calendar::Month, "America/Sao_Paulo");
    let [one, other] = &limiters;
    assert_eq!(said(one, 4), (true, 6, month));
    let over = |changes| Overrides::new().with("monthly", changes);
    other.set_overrides(over(day)).unwrap();
    assert_eq!(said(other, 2), (true, 4, 86_400_000_000));
    assert_eq!(said(one, 1), (true, 3, month));
    other.set_overrides(over(sao_paulo)).unwrap();
    assert_eq!(said(other, 1), (true, 2, other_month));
    assert_eq!(said(one, 3), (false, 2, month));
    other.set_overrides(over(Override::new().limit(8))).unwrap();
    assert_eq!(said(other, 1), (false, 0, month));
    other.set_overrides(Overrides::new()).unwrap();
    assert_eq!(said(other, 2), (true, 0, month));
}
