//! Times beyond 2^52 microseconds, which are after the year 2112: all is exact up to 2^53.

use tollgate::{Algorithm, Decision, Policy};

use crate::timed::Timed;
use support::reference::{Expected, Numbers, said};
use support::subject::{Memory, Store};

const PERIOD: u64 = 1_000_000;

fn refund(store: &impl Store, decision: Decision) -> bool {
    store.wait(store.limiter().refund(decision)).unwrap()
}

fn look(store: &impl Store, policy: &Policy, subject: &str) -> Expected {
    said(&store.wait(store.limiter().peek(policy, subject, 1)).unwrap())
}

#[test]
fn charges_and_refunds_are_as_in_memory() {
    let timed = Timed::start();
    let year = 366 * 86_400_000_000_u64;
    let instants = [(1 << 52) - 1, 1 << 52, (1 << 52) + 1, 200 * year, (1 << 53) - 4 * PERIOD];
    for &algorithm in Algorithm::ALL {
        for limit in [10, 1_030] {
            let policy: Policy = Numbers::policy(algorithm, &[Numbers::new(limit, PERIOD)]);
            for at in instants {
                let (memory, redis) = (Memory::new(), &timed);
                let subject = timed.subject();
                let set = |now| {
                    memory.clock().set_micros(now);
                    redis.clock().set_micros(now);
                };
                // The first charge opens a fixed window, so it stays.
                let mut charges = Vec::new();
                for (cost, gap) in [(2, 0), (3, 2), (1, 7), (2, 40)] {
                    set(at + gap);
                    let decisions = [
                        memory.check(&policy, &subject, cost),
                        redis.check(&policy, &subject, cost),
                    ];
                    assert_eq!(said(&decisions[0]), said(&decisions[1]), "{algorithm:?} at {at}");
                    charges.push(decisions);
                }
                let last = charges.pop().unwrap();
                for [in_memory, on_redis] in charges.drain(1..).chain([last]) {
                    let refunds = [refund(&memory, in_memory), refund(&redis, on_redis)];
                    assert_eq!(refunds, [true, true], "{algorithm:?} of {limit} at {at}");
                }
                set(at + PERIOD - 1);
                let peeks = [look(&memory, &policy, &subject), look(&redis, &policy, &subject)];
                assert_eq!(peeks[0], peeks[1], "{algorithm:?} of {limit} at {at}");
            }
        }
    }
}
