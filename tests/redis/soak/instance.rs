//! One process of a service, as far as the store can tell: a limiter with connections of its own, and
//! what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate::{Decision, Limiter, Outcome, Policy, Source, Unavailable};

use super::dice::Dice;
use super::judge::Judge;
use super::limits::Limit;

/// The time that an answer may have been on its way. A refusal that a process keeps tells a wait from
/// when it came.
const DEADLINE: Duration = Duration::from_millis(100);

/// What all callers have in common.
pub(crate) struct Run {
    pub(crate) stop: AtomicBool,
    /// The longest time, in microseconds, in which a check was answered.
    pub(crate) slowest: AtomicU64,
    pub(crate) limits: Vec<(Limit, Policy, Judge)>,
    pub(crate) http: Judge,
}

impl Run {
    pub(crate) fn judges(&self) -> impl Iterator<Item = &Judge> {
        self.limits.iter().map(|(_, _, judge)| judge).chain([&self.http])
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// A caller of one limiter that asks for one limit after the other.
pub(crate) struct Caller {
    pub(crate) run: Arc<Run>,
    pub(crate) limiter: Limiter,
    pub(crate) dice: Dice,
    /// A number that no other caller has.
    pub(crate) number: u64,
}

impl Caller {
    pub(crate) async fn call(mut self) {
        let run = self.run.clone();
        while run.goes_on() {
            let which = self.dice.roll(run.limits.len() as u64) as usize;
            let (limit, policy, judge) = &run.limits[which];
            match limit {
                Limit::Told => self.come_back(policy, judge).await,
                Limit::Banned => self.hammer(policy, judge).await,
                Limit::Permits => self.hold(policy, judge).await,
                _ => self.ask(*limit, policy, judge).await,
            }
            // A service does other things as well.
            self.pause(25).await;
        }
    }

    async fn pause(&mut self, millis: u64) {
        let millis = millis / 2 + self.dice.roll(millis);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Counts an answer, and returns the decision if there is one.
    fn counted(
        &self,
        judge: &Judge,
        asked: Instant,
        answer: Result<Decision, Unavailable>,
    ) -> Option<Decision> {
        let counts = &judge.counts;
        if judge.name != "waiting in line" {
            let micros = asked.elapsed().as_micros() as u64;
            self.run.slowest.fetch_max(micros, Ordering::Relaxed);
        }
        let Ok(decision) = answer else {
            counts.unknown.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let count = if decision.is_allowed() { &counts.admitted } else { &counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        Some(decision)
    }

    /// Asks once. Some callers lose their patience, some give back what they were given.
    async fn ask(&mut self, limit: Limit, policy: &Policy, judge: &Judge) {
        let subject = self.dice.roll(limit.subjects());
        let name = subject.to_string();
        let cost = limit.cost(&mut self.dice);
        let asked = Instant::now();
        let answer = if self.dice.roll(20) == 0 {
            let patience = Duration::from_micros(self.dice.roll(3_000));
            let check = self.limiter.check_cost(policy, &name, cost);
            match tokio::time::timeout(patience, check).await {
                Ok(answer) => answer,
                Err(_) => {
                    judge.counts.given_up.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        } else if limit == Limit::Line {
            let patience = Duration::from_millis(1_500);
            self.limiter.wait(policy, &name, cost, patience).await
        } else {
            self.limiter.check_cost(policy, &name, cost).await
        };
        let Some(decision) = self.counted(judge, asked, answer) else { return };
        if !decision.is_allowed() {
            return;
        }
        match limit {
            Limit::Refunded if self.dice.roll(3) == 0 => {
                let _ = self.limiter.refund(decision).await;
            }
            Limit::Settled => {
                let actual = self.dice.roll(9) as u32;
                // At any time between the two, at least the lesser of both counts.
                judge.admitted(subject, asked, u64::from(actual.min(cost)));
                let _ = self.limiter.settle(decision, actual).await;
            }
            _ if limit.is_judged() => judge.admitted(subject, asked, u64::from(cost)),
            _ => {}
        }
    }

    /// Asks until it is refused, comes back when it was told to, and is admitted: nobody else asks for
    /// this subject.
    async fn come_back(&mut self, policy: &Policy, judge: &Judge) {
        let name = format!("only {}", self.number);
        loop {
            let losses = judge.losses();
            let asked = Instant::now();
            let answer = self.limiter.check(policy, &name).await;
            let Some(decision) = self.counted(judge, asked, answer) else { return };
            if decision.is_allowed() {
                judge.admitted(self.number, asked, 1);
                continue;
            }
            let Some(wait) = decision.retry_after() else {
                return judge.violated(format!("no time to retry: {decision:?}"));
            };
            tokio::time::sleep(wait).await;
            let asked = Instant::now();
            let answer = self.limiter.check(policy, &name).await;
            let Some(again) = self.counted(judge, asked, answer) else { return };
            if again.is_allowed() {
                judge.admitted(self.number, asked, 1);
            } else if losses == judge.losses() {
                judge.violated(format!("refused after {wait:?}: {decision:?}, {again:?}"));
            }
            return;
        }
    }

    /// Asks until it is banned, and sees that a ban is one. Nobody else asks for this subject.
    async fn hammer(&mut self, policy: &Policy, judge: &Judge) {
        let name = format!("only {}", self.number);
        let mut banned: Option<(Option<u64>, Instant)> = None;
        for _ in 0..8 {
            let losses = judge.losses();
            let asked = Instant::now();
            let answer = self.limiter.check(policy, &name).await;
            let answered = Instant::now();
            let Some(decision) = self.counted(judge, asked, answer) else { continue };
            if let Some((before, until)) = banned
                && decision.is_allowed()
                && answered + DEADLINE < until
                && before.is_some()
                && before == judge.losses()
            {
                judge.violated(format!("admitted {:?} before its ban ends", until - answered));
            }
            if decision.is_allowed() {
                judge.admitted(self.number, asked, 1);
            }
            // A process may remember a ban, for a second, that the store has lost.
            if let (Outcome::Banned { retry_after }, Source::Store) =
                (decision.outcome(), decision.source())
            {
                banned = Some((losses, asked + retry_after));
            }
            self.pause(10).await;
        }
    }

    /// Holds a permit for a time.
    async fn hold(&mut self, policy: &Policy, judge: &Judge) {
        let subject = self.dice.roll(Limit::Permits.subjects());
        let asked = Instant::now();
        let answer = self.limiter.check(policy, &subject.to_string()).await;
        let Some(decision) = self.counted(judge, asked, answer) else { return };
        if decision.is_allowed() {
            let taken = judge.taken(subject, asked);
            self.pause(60).await;
            judge.released(subject, taken);
        }
        drop(decision);
    }
}
