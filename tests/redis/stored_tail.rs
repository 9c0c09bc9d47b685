//! A later release may append to the stored state what this one does not know: a time, and bytes that
//! are kept until then.

use std::time::Duration;

use redis::Connection;
use tollgate::{Algorithm, Policy, Quota};

use crate::timed::Timed;
use support::reference::START;

const PERIOD: Duration = Duration::from_secs(60);
const UNKNOWN: &[u8] = b"bytes of a later release";

/// Marks the stored value as one with a tail, and appends it.
fn append_tail(connection: &mut Connection, key: &str, ends: u64) -> Vec<u8> {
    let mut value: Vec<u8> = redis::cmd("GET").arg(key).query(connection).unwrap();
    let mut tail = (ends as f64).to_le_bytes().to_vec();
    tail.extend(UNKNOWN);
    value[3] |= 128;
    value.extend(&tail);
    redis::cmd("SET").arg(key).arg(value).arg("KEEPTTL").exec(connection).unwrap();
    tail
}

#[test]
fn what_a_later_release_appends_is_kept_for_as_long_as_it_says() {
    let timed = Timed::start();
    let mut connection = timed.server.connection();
    // The last limit fills a ring that is changed in place.
    for (algorithm, quotas, cost) in Algorithm::ALL
        .iter()
        .flat_map(|algorithm| (1..=4).map(|quotas| (*algorithm, quotas, 1)))
        .chain([(Algorithm::SlidingWindow, 1, 90), (Algorithm::SlidingWindow, 2, 90)])
    {
        timed.clock.set_micros(START);
        let policy = Policy::new("tail", Quota::new(1_000, PERIOD)).algorithm(algorithm);
        let policy =
            (1..quotas).fold(policy, |policy, n| policy.and(Quota::new(1_020, PERIOD * (n + 1))));
        let subject = timed.subject();
        let key = format!("tollgate:4:tail:{subject}");
        assert!(timed.check(&policy, &subject, cost).is_allowed());
        // Beyond the time at which the state is empty.
        let ends = START + 900_000_000;
        let tail = append_tail(&mut connection, &key, ends);
        let what = format!("{algorithm:?}, {quotas} quotas, cost {cost}");
        let mut used = 0;
        for step in 0..8 {
            timed.clock.advance(PERIOD / 10);
            let decision = timed.check(&policy, &subject, cost);
            used += u32::from(decision.is_allowed());
            if step == 5 {
                let refund = timed.limiter.refund(decision);
                assert!(timed.runtime.block_on(refund).unwrap(), "{what}");
            }
            let _ = timed.peek(&policy, &subject, cost);
            let value: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
            assert!(value[3] >= 128 && value.ends_with(&tail), "{what}, step {step}: {value:?}");
        }
        assert!(used > 3, "{what}");
        let left: u64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
        assert!(left > 800_000, "{what}: {left} ms");
        // A policy of another form keeps it, too.
        let other = Policy::new("tail", Quota::new(7, PERIOD * 2)).algorithm(Algorithm::Gcra);
        timed.clock.advance(PERIOD * 8);
        let _ = timed.check(&other, &subject, 1);
        let value: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
        assert!(value.ends_with(&tail), "{what}: {value:?}");
        timed.clock.set_micros(ends);
        assert!(timed.check(&policy, &subject, cost).is_allowed(), "{what}");
        let value: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
        assert!(value[3] < 128 && !value.ends_with(UNKNOWN), "{what}: {value:?}");
    }
}
