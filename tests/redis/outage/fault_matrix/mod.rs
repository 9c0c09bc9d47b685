//! Every fault at every deployment, under load: nothing is admitted beyond a limit, nothing is charged
//! twice, no call outlasts its deadline, and all keys are served again when the fault is over.
//!
//! `--nocapture` shows, for each cell, how long that takes and what the calls were told:
//!
//! ```console
//! cargo test -p tollgate-tests --test redis fault_matrix -- --nocapture
//! ```
//!
//! A limiter's limits are closed here, so in an outage it refuses.

mod account;
mod deployment;
mod fault;
mod load;
mod slot_move;

use std::time::{Duration, Instant};

use tollgate::{CircuitBreaker, Limiter, RedisBackend};

use self::account::Account;
use self::deployment::Deployment;
use self::fault::OneFault;
use self::load::{AMPLE, AMPLE_KEYS, Load, subject};
use crate::timed::{PATIENCE, runtime};
use support::scaled;

const DEADLINE: Duration = Duration::from_millis(100);

/// The longest time until an open breaker tries again.
const BACK_OFF: Duration = Duration::from_millis(200);

/// Lets each of the faults come and go, with a limiter of its own, and prints the account of it.
fn meets<'a>(
    name: &str,
    mut deployment: Deployment,
    faults: impl IntoIterator<Item = &'a OneFault>,
) {
    for fault in faults {
        let cell = format!("{name}: {}", fault.name);
        let backend = |deadline| {
            let url = deployment.url();
            let builder = RedisBackend::builder(&url).key_prefix(fault.prefix);
            Limiter::builder(builder.deadline(deadline).build().unwrap())
        };
        let breaker = CircuitBreaker::new().reset_timeout(BACK_OFF / 2).max_reset_timeout(BACK_OFF);
        let limiter = backend(DEADLINE).breaker(breaker).build();
        let reader = backend(PATIENCE).breaker(None).build();
        let runtime = runtime();
        runtime.block_on(limiter.initialize()).unwrap();
        let keys = fault.name.replace([' ', ','], "-");
        let load = Load::start(&runtime, &limiter, &keys);
        load.goes_on();

        let begun = Instant::now();
        (fault.begins)(&mut deployment);
        match fault.is_mild {
            true => load.goes_on(),
            false => load.feels(begun),
        }
        (fault.ends)(&mut deployment);
        let healed = Instant::now();
        let probes = || limiter.stats().breaker.unwrap().probes;
        let before = probes();
        load.heals(&cell, healed);
        let probes = probes() - before;
        load.goes_on();

        let calls = load.stop(&runtime);
        let charged = (0..AMPLE_KEYS).map(|key| {
            let left = runtime.block_on(reader.peek(&AMPLE, &subject(&keys, key), 0)).unwrap();
            AMPLE.quotas()[0].limit() - left.remaining()
        });
        let account =
            Account { name: cell, calls: &calls, charged: charged.collect(), healed, probes };
        println!("{account}");
        if account.is_slow_to_heal() {
            println!("{}: that is more than the breaker's back-off", account.name);
        }
        // Of a loaded machine's probes some fail, but not all of so many.
        let most = 6 * deployment.primaries.len() as u64;
        assert!(probes <= most, "{}: {probes} probes until all keys were served", account.name);
        account.is_charged_once();
        account.is_within_limits();
        account.is_in_time();
    }
}

/// The name of a deployment, its start, and the faults that it meets one after the other.
type Group<'a> = (&'a str, fn() -> Deployment, Vec<&'a OneFault>);

/// A deployment of its own for each group of faults, all at a time.
#[test]
fn every_fault_at_every_deployment() {
    let everywhere = || fault::EVERYWHERE.iter();
    let groups: [Group<'_>; 6] = [
        ("single", Deployment::single, everywhere().chain([&fault::READONLY]).collect()),
        ("single", Deployment::single_that_ends, fault::SINGLE_ENDS.iter().collect()),
        ("sentinel", Deployment::sentinel, everywhere().chain([&fault::READONLY]).collect()),
        (
            "sentinel",
            Deployment::sentinel_that_fails_over,
            fault::SENTINEL_FAILS_OVER.iter().collect(),
        ),
        ("cluster", Deployment::cluster, everywhere().chain([&fault::CLUSTER_MOVES]).collect()),
        (
            "cluster",
            Deployment::cluster_that_fails_over,
            slot_move::KEY_BY_KEY.iter().chain(&fault::CLUSTER_FAILS_OVER).collect(),
        ),
    ];
    for _ in 0..scaled(1, 10) {
        std::thread::scope(|scope| {
            for (name, start, faults) in &groups {
                scope.spawn(|| meets(name, start(), faults.iter().copied()));
            }
        });
    }
}

/// With `TOLLGATE_TEST_REDIS_SERVER` at a Valkey of 9.0 or newer.
#[test]
#[ignore = "it needs a server whose slots move at once"]
fn slots_move_at_once() {
    for _ in 0..scaled(1, 10) {
        meets("cluster", Deployment::cluster_that_fails_over(), &slot_move::AT_ONCE);
    }
}
