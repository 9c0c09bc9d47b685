//! A stored value that cannot be read is the affair of its subject alone.

use std::time::Duration;

use redis::Connection;
use tollgate::stats::BreakerState;
use tollgate::{Algorithm, Policy, Quota};

use crate::timed::Timed;
use support::scaled;

const LIMIT: u32 = 5;
const PERIOD: Duration = Duration::from_secs(60);
const OTHER: Policy = Policy::new("other", Quota::new(1_000_000, PERIOD));

/// xorshift64*: quick, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// A policy of 1 to 4 quotas, of which none has a longer period than `PERIOD`.
fn policy(algorithm: Algorithm, quotas: usize) -> Policy {
    let quota = |n: u32| Quota::new(LIMIT + n, PERIOD - Duration::from_secs(7 * u64::from(n)));
    let first = Policy::new("bent", quota(0)).algorithm(algorithm);
    (1..quotas as u32).fold(first, |policy, n| policy.and(quota(n)))
}

/// A value that takes the place of a stored one.
#[derive(Debug)]
enum Bent {
    Text(Vec<u8>),
    List,
}

/// Returns a cut, some flipped bits, some changed bytes, text of others, or another type.
fn bent(random: &mut Random, stored: &[u8]) -> Bent {
    let mut text = stored.to_vec();
    let place = |random: &mut Random| random.below(stored.len() as u64) as usize;
    match random.below(8) {
        0 => text.truncate(place(random)),
        1..4 => {
            for _ in 0..=random.below(3) {
                text[place(random)] ^= 1 << random.below(8);
            }
        }
        4 => {
            let at = place(random).min(stored.len().saturating_sub(8));
            let number = [f64::NAN, f64::INFINITY, -1.0, 1e300, 9e15][random.below(5) as usize];
            let end = (at + 8).min(text.len());
            text[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
        }
        5 => {
            let at = place(random);
            text[at..].iter_mut().for_each(|byte| *byte = random.below(256) as u8);
        }
        6 => text = b"somebody else's".to_vec(),
        _ => return Bent::List,
    }
    Bent::Text(text)
}

fn store(connection: &mut Connection, key: &[u8], bent: &Bent) {
    redis::cmd("DEL").arg(key).exec(connection).unwrap();
    match bent {
        Bent::Text(text) => redis::cmd("SET").arg(key).arg(&text[..]).exec(connection),
        Bent::List => redis::cmd("RPUSH").arg(key).arg("x").exec(connection),
    }
    .unwrap();
}

/// Checks go on for all subjects, the bent one is never an error, and it is free again after one
/// period; for the window of two counts after two, as if its limit had been used up.
#[test]
fn a_bent_value_is_one_subjects_affair_and_heals_within_a_period() {
    let timed = Timed::start();
    let mut connection = timed.server.connection();
    let mut random = Random(17);
    let mut refused = 0;
    let rounds = scaled(1_000, 6_000);
    for round in 0..rounds {
        let algorithm = Algorithm::ALL[round as usize % Algorithm::ALL.len()];
        let quotas = 1 + random.below(4) as usize;
        let policy = policy(algorithm, quotas);
        let subject = timed.subject();
        let key = format!("tollgate:4:bent:{subject}").into_bytes();
        // One in three has parts of an earlier form aside.
        if random.below(3) == 0 {
            let earlier = Algorithm::ALL[random.below(Algorithm::ALL.len() as u64) as usize];
            let earlier = Policy::new("bent", Quota::new(50, PERIOD / 2)).algorithm(earlier);
            let _ = timed.check(&earlier, &subject, 2);
        }
        for _ in 0..=random.below(4) {
            let _ = timed.check(&policy, &subject, 1);
            timed.clock.advance(Duration::from_millis(random.below(2_000)));
        }
        let stored: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
        let bent = bent(&mut random, &stored);
        store(&mut connection, &key, &bent);
        let what = format!("{round}: {algorithm:?}, {quotas} quotas, {bent:?} for {stored:?}");

        let first = match random.below(3) {
            0 => timed.peek(&policy, &subject, 1),
            _ => timed.check(&policy, &subject, 1),
        };
        assert!(timed.check(&OTHER, "other", 1).is_allowed(), "{what}");
        // A bent value that is one of ours may be that of a limit which is used up.
        let is_counter = algorithm == Algorithm::SlidingWindowCounter;
        let most = if is_counter { PERIOD * 2 } else { PERIOD };
        if let Some(wait) = first.retry_after() {
            refused += 1;
            assert!(wait <= most, "{what}: {wait:?}");
        }
        timed.clock.advance(most);
        assert!(timed.check(&policy, &subject, 1).is_allowed(), "{what}");
    }
    let breaker = timed.limiter.stats().breaker.unwrap();
    assert_eq!((breaker.state, breaker.failures, breaker.opened), (BreakerState::Closed, 0, 0));
    println!("{refused} of {rounds} were refused at first");
    assert!(refused > rounds / 4);
}

/// What is certainly not ours, with every algorithm and number of quotas.
#[test]
fn a_foreign_value_refuses_for_as_long_as_a_full_limit_would() {
    let timed = Timed::start();
    let mut connection = timed.server.connection();
    for algorithm in Algorithm::ALL {
        for quotas in 1..=4 {
            let policy = policy(*algorithm, quotas);
            let (subject, full) = (timed.subject(), timed.subject());
            let key = format!("tollgate:4:bent:{subject}").into_bytes();
            let _ = timed.check(&policy, &subject, 1);
            let stored: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
            let mut versions = vec![stored.clone(); 3];
            versions[0][0] = 99;
            versions[1][2] = 200;
            versions[2].truncate(9);
            let values = versions.into_iter().map(Bent::Text);
            for bent in values.chain([Bent::Text(b"7".to_vec()), Bent::List]) {
                store(&mut connection, &key, &bent);
                let decision = timed.check(&policy, &subject, 1);
                assert!(!decision.is_allowed(), "{algorithm:?} {quotas} {bent:?}");
                let wait = decision.retry_after().unwrap();
                assert!(wait > Duration::ZERO && wait <= PERIOD, "{algorithm:?} {wait:?}");
                // It is stored: the wait does not begin anew.
                timed.clock.advance(wait / 2);
                let again = timed.check(&policy, &subject, 1);
                assert_eq!(again.retry_after(), Some(wait - wait / 2), "{algorithm:?} {bent:?}");
            }
            assert!(timed.check(&policy, &full, 1).is_allowed());
        }
    }
    assert_eq!(timed.limiter.stats().breaker.unwrap().failures, 0);
}
