//! A call never does the work of all its checks if that is much: the server carries out as many as
//! fit, and the rest follow in their order. What is decided stays what memory decides.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tollgate::testing::ManualClock;
use tollgate::{Decision, Limiter, MemoryBackend, Outcome, Policy, Quota};

use crate::timed::{limiter_on, runtime};
use support::redis::RedisServer;
use support::reference::START;
use support::scaled;

const ADMISSIONS: u32 = 900;

/// Polls the futures in their order until all of them are done.
async fn in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        let is_done = pending.iter().all(|(_, output)| output.is_some());
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

/// The limiters of both stores, and the clock of each.
struct Both {
    limiters: [Limiter; 2],
    clocks: [ManualClock; 2],
}

impl Both {
    fn on(server: &RedisServer) -> Self {
        let clocks = [ManualClock::new(), ManualClock::new()];
        clocks.iter().for_each(|clock| clock.set_micros(START));
        let memory = MemoryBackend::builder().clock(clocks[1].clone()).build();
        let limiters = [limiter_on(&server.url(), &clocks[0]), Limiter::new(memory)];
        Self { limiters, clocks }
    }

    fn advance(&self, span: Duration) {
        self.clocks.iter().for_each(|clock| clock.advance(span));
    }

    /// Has all subjects checked at once, each twice in a row, and returns what they are told.
    async fn check_all(&self, policy: &Policy, subjects: usize, cost: u32) -> Vec<Outcome> {
        let mut told = Vec::new();
        for limiter in &self.limiters {
            let checks = (0..subjects * 2).map(async |number| {
                let subject = (number / 2).to_string();
                limiter.check_cost(policy, &subject, cost).await.unwrap()
            });
            let decisions: Vec<Decision> = in_order(checks).await;
            told.push(decisions.iter().map(Decision::outcome).collect::<Vec<_>>());
        }
        let memory = told.pop().unwrap();
        assert_eq!(told[0], memory, "{policy:?}, cost {cost}");
        memory
    }
}

/// Logs of 900 admissions each, of both widths of entries: what most of them wait for has expired at
/// once, another release has another period, and a large cost is refused.
#[test]
fn deep_logs_are_decided_in_pieces_as_in_memory() {
    let subjects = scaled(8, 64) as usize;
    let half_minute = Duration::from_secs(30);
    for (limit, period) in
        [(1_000, half_minute), (100_000, half_minute), (1_000, Duration::from_secs(7_200))]
    {
        let server = RedisServer::start();
        let both = Both::on(&server);
        let policy = Policy::new("deep", Quota::new(limit, period));
        let (unit, step) = (limit / 1_000, period / 1_000);
        runtime().block_on(async {
            for _ in 0..ADMISSIONS / 2 {
                let told = both.check_all(&policy, subjects, unit).await;
                assert!(told.iter().all(|outcome| *outcome == Outcome::Allowed));
                both.advance(step * 2);
            }
            let refused = both.check_all(&policy, subjects, limit / 2).await;
            assert!(refused.iter().all(|outcome| *outcome != Outcome::Allowed));
            // The other release, in turns with this one.
            for period in [period * 3 / 2, period, period / 2, period] {
                let other = Policy::new("deep", Quota::new(limit, period));
                both.check_all(&other, subjects, unit).await;
            }
            both.advance(period * 9 / 10);
            both.check_all(&policy, subjects, unit * 700).await;
            both.check_all(&policy, subjects, limit).await;
        });
    }
}

/// Checks of one key that are sent together are decided in their order, also those that a call has
/// left to the next: of the first, dear ones, as many are admitted as fit, and of the cheap ones
/// behind them none that would have had to go before.
#[test]
fn what_a_call_leaves_to_the_next_keeps_its_order() {
    let server = RedisServer::start();
    let both = Both::on(&server);
    let (many, one) = (Duration::from_secs(7_200), Quota::new(2_000, Duration::from_secs(30)));
    let policy = Policy::new("order", Quota::new(1_000, many)).and(one);
    runtime().block_on(async {
        let limiter = &both.limiters[0];
        limiter.initialize().await.unwrap();
        for round in 0..scaled(5, 50) {
            let key = round.to_string();
            let costs = (0..300_u32).map(|number| 1 + number * 7 % 11);
            let before = server.calls("evalsha");
            let checks = costs.clone().map(|cost| limiter.check_cost(&policy, &key, cost));
            let admitted = in_order(checks).await;
            let admitted: Vec<bool> =
                admitted.into_iter().map(|decision| decision.unwrap().is_allowed()).collect();
            let mut used = 0;
            let expected: Vec<bool> = costs
                .map(|cost| {
                    let fits = used + cost <= 1_000;
                    used += if fits { cost } else { 0 };
                    fits
                })
                .collect();
            assert_eq!(admitted, expected);
            // At most 128 checks are sent in one call, and some calls leave a part of them.
            assert!(server.calls("evalsha") - before > 3);
        }
    });
}
