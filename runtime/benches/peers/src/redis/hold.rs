//! The longest time for which a script call holds the server, by its own slow log: 128 subjects with
//! 900 admissions each, of 1000 per 30 s, all ask at once when
//!
//! - `expired`, all the admissions have expired;
//! - `expired_but_one`, all have but the newest of each subject;
//! - `other_period`, a release asks that has a period of 45 s;
//! - `refused_cost`, they ask for 500 units, which are refused.
//!
//! The script decides by a clock that is set by hand. Each round begins with the same state, and the
//! figure is the median of the rounds' longest calls, since others may have the processor meanwhile.

use std::sync::Arc;
use std::time::Duration;

use redis::Connection;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollgate::testing::ManualClock;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

use super::server::Server;
use super::{Result, runtime};
use crate::median;

const SUBJECTS: u32 = 128;
const ADMISSIONS: u64 = 900;
const ROUNDS: usize = 5;
/// The time of the first admission, in microseconds since the Unix epoch.
const BEGINNING: u64 = 1_800_000_000_000_000;
/// The time between two admissions of a subject, in microseconds.
const INTERVAL: u64 = 30_000;
const LAST: u64 = BEGINNING + (ADMISSIONS - 1) * INTERVAL;
const PERIOD_MICROS: u64 = 30_000_000;

static POLICY: Policy = Policy::new("hold", Quota::new(1000, Duration::from_secs(30)));
static OTHER_RELEASE: Policy = Policy::new("hold", Quota::new(1000, Duration::from_secs(45)));

/// What all subjects ask at once.
struct Case {
    name: &'static str,
    policy: &'static Policy,
    cost: u32,
    now: u64,
    is_allowed: bool,
}

const CASES: [Case; 4] = [
    Case {
        name: "expired",
        policy: &POLICY,
        cost: 1,
        now: LAST + PERIOD_MICROS + 1_000_000,
        is_allowed: true,
    },
    Case {
        name: "expired_but_one",
        policy: &POLICY,
        cost: 1,
        now: LAST + PERIOD_MICROS - INTERVAL / 2,
        is_allowed: true,
    },
    Case {
        name: "other_period",
        policy: &OTHER_RELEASE,
        cost: 1,
        now: LAST + INTERVAL,
        is_allowed: true,
    },
    Case {
        name: "refused_cost",
        policy: &POLICY,
        cost: 500,
        now: LAST + INTERVAL,
        is_allowed: false,
    },
];

pub(super) fn run() -> Result<()> {
    let (server, runtime) = (Server::start()?, runtime()?);
    let clock = ManualClock::new();
    let limiter = limiter(&server, &clock)?;
    for admission in 0..ADMISSIONS {
        clock.set_micros(BEGINNING + admission * INTERVAL);
        ask(&runtime, &limiter, &CASES[0])?;
    }
    let mut connection = server.connection()?;
    let state = State::of(&mut connection)?;
    for case in CASES {
        let (mut longest, mut calls) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            state.restore(&mut connection)?;
            clock.set_micros(case.now);
            // One that remembers no refusal, and is connected.
            let limiter = self::limiter(&server, &clock)?;
            let _ = runtime.block_on(limiter.check(case.policy, "another"))?;
            server.watch_slow_calls()?;
            ask(&runtime, &limiter, &case)?;
            let slow = server.slow_calls()?;
            longest.push(slow.longest_micros as f64);
            calls.push(slow.count as f64);
        }
        let spread = longest.clone();
        println!(
            "figure redis.hold.{} {:.0} us (rounds {spread:.0?}, {:.0} calls above 100 us)",
            case.name,
            median(longest),
            median(calls)
        );
    }
    Ok(())
}

fn limiter(server: &Server, clock: &ManualClock) -> Result<Arc<Limiter>> {
    let backend = RedisBackend::builder(&server.url())
        .virtual_time(clock.clone())
        .deadline(Duration::from_secs(10));
    Ok(Arc::new(Limiter::new(backend.build()?)))
}

/// Lets all subjects ask at once.
fn ask(runtime: &Runtime, limiter: &Arc<Limiter>, case: &Case) -> Result<()> {
    let Case { policy, cost, is_allowed, .. } = *case;
    runtime.block_on(async {
        let mut checks: JoinSet<std::result::Result<bool, String>> = (0..SUBJECTS)
            .map(|subject| {
                let limiter = Arc::clone(limiter);
                async move {
                    let subject = format!("subject-{subject:03}");
                    let checked = limiter.check_cost(policy, &subject, cost).await;
                    Ok(checked.map_err(|error| error.to_string())?.is_allowed())
                }
            })
            .collect();
        while let Some(check) = checks.join_next().await {
            if check?? != is_allowed {
                return Err(format!("{}: a check was decided otherwise", case.name).into());
            }
        }
        Ok(())
    })
}

/// The keys of a server.
struct State(Vec<(String, Vec<u8>)>);

impl State {
    fn of(connection: &mut Connection) -> Result<Self> {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(connection)?;
        if keys.len() != SUBJECTS as usize {
            return Err(format!("{} keys for {SUBJECTS} subjects", keys.len()).into());
        }
        let dump = |key: String| {
            let value = redis::cmd("DUMP").arg(&key).query(connection)?;
            Ok((key, value))
        };
        Ok(Self(keys.into_iter().map(dump).collect::<Result<_>>()?))
    }

    /// Makes the server hold this state and nothing else. The expiry is later than any case.
    fn restore(&self, connection: &mut Connection) -> Result<()> {
        redis::cmd("FLUSHALL").exec(connection)?;
        for (key, value) in &self.0 {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(3_600_000).arg(value).exec(connection)?;
        }
        Ok(())
    }
}
