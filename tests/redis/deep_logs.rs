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

const HALF_MINUTE: Duration = Duration::from_secs(30);

impl Both {
    /// Has all subjects admitted 900 times each, at 450 times in the first 9 tenths of the period.
    async fn fill(&self, limit: u32, period: Duration, subjects: usize) -> Policy {
        let policy = Policy::new("deep", Quota::new(limit, period));
        for _ in 0..ADMISSIONS / 2 {
            let told = self.check_all(&policy, subjects, limit / 1_000).await;
            assert!(told.iter().all(|outcome| *outcome == Outcome::Allowed));
            self.advance(period / 500);
        }
        policy
    }
}

/// Logs of 900 admissions each, of both widths of entries: what most of them wait for has expired at
/// once, another release has another period, and a large cost is refused.
#[test]
fn deep_logs_are_decided_in_pieces_as_in_memory() {
    let subjects = scaled(8, 64) as usize;
    for (limit, period) in
        [(1_000, HALF_MINUTE), (100_000, HALF_MINUTE), (1_000, Duration::from_secs(7_200))]
    {
        let server = RedisServer::start();
        let both = Both::on(&server);
        runtime().block_on(async {
            let policy = both.fill(limit, period, subjects).await;
            let refused = both.check_all(&policy, subjects, limit / 2).await;
            assert!(refused.iter().all(|outcome| *outcome != Outcome::Allowed));
            // The other release, in turns with this one.
            for (step, period) in [period * 3 / 2, period, period / 2, period].iter().enumerate() {
                let before = server.calls("evalsha");
                let other = Policy::new("deep", Quota::new(limit, *period));
                both.check_all(&other, subjects, limit / 1_000).await;
                let calls = server.calls("evalsha") - before;
                // Entries of 12 bytes are converted one by one, which fills a call.
                let is_dear = step == 0 && (limit > 1_024 || *period > HALF_MINUTE * 3);
                assert!(!is_dear || calls >= subjects as u64, "{limit} {period:?}: {calls}");
            }
            both.advance(period * 9 / 10);
            both.check_all(&policy, subjects, limit / 1_000 * 700).await;
            both.check_all(&policy, subjects, limit).await;
        });
    }
}

/// Checks of one key that are sent together are decided in their order, also those that a call has
/// left to the next because there was dear work between them.
#[test]
fn what_a_call_leaves_to_the_next_keeps_its_order() {
    const DEEP: usize = 10;
    let server = RedisServer::start();
    let both = Both::on(&server);
    let limiter = &both.limiters[0];
    let policy = Policy::new("order", Quota::new(500, HALF_MINUTE));
    runtime().block_on(async {
        let deep = both.fill(100_000, HALF_MINUTE, DEEP).await;
        for round in 0..scaled(5, 50) as u32 {
            // Each form is new, and has to be converted.
            let other =
                Quota::new(100_000, HALF_MINUTE + Duration::from_secs(1 + u64::from(round)));
            let other = Policy::named(deep.name(), other);
            let key = format!("ordered {round}");
            let costs: Vec<u32> = (0..200).map(|number| 1 + number * 7 % 11).collect();
            let before = server.calls("evalsha");
            let mut stream: Vec<(&Policy, String, u32)> = Vec::new();
            for (number, cost) in costs.iter().enumerate() {
                if number % 20 == 10 {
                    stream.push((&other, (number / 20).to_string(), 1));
                }
                stream.push((&policy, key.clone(), *cost));
            }
            let told = in_order(stream.iter().map(async |(policy, subject, cost)| {
                limiter.check_cost(policy, subject, *cost).await.unwrap().is_allowed()
            }));
            let told = told.await;
            let of_key = stream.iter().zip(told).filter(|((_, subject, _), _)| *subject == key);
            let admitted: Vec<bool> = of_key.map(|(_, is_admitted)| is_admitted).collect();
            let mut used = 0;
            let expected: Vec<bool> = costs
                .iter()
                .map(|cost| {
                    let fits = used + cost <= 500;
                    used += if fits { *cost } else { 0 };
                    fits
                })
                .collect();
            assert_eq!(admitted, expected);
            let calls = server.calls("evalsha") - before;
            assert!(calls >= DEEP as u64, "{calls} calls left nothing to the next");
        }
    });
}
