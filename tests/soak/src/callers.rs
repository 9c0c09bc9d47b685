//! Those who ask, in a process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tollgate::{Decision, Outcome, Source, Unavailable};

use crate::chance::Chance;
use crate::events::{By, Call, Cut, Event, Told, now};
use crate::lanes::{DAY_SLOT, DEADLINE, Does};
use crate::worker::Worker;

const LINE: Duration = Duration::from_secs(2);

pub(crate) async fn call_all(worker: &Arc<Worker>) {
    let mut tasks = JoinSet::new();
    for (number, lane) in worker.lanes.iter().enumerate() {
        // Where somebody waits, others come meanwhile.
        let callers = match lane.does {
            Does::Serve(_) => 0,
            Does::Wait | Does::WaitAndHold => 4,
            Does::Hold => 3,
            _ => 1,
        };
        for caller in 0..callers {
            let stream = (worker.number * 1_000 + number * 10 + caller) as u64;
            let chance = Chance::new(worker.seed, stream);
            tasks.spawn(call(worker.clone(), number, chance, callers as u64));
        }
    }
    if worker.number == 0 {
        tasks.spawn(operate(worker.clone(), Chance::new(worker.seed, 9_999)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

async fn call(worker: Arc<Worker>, number: usize, mut chance: Chance, callers: u64) {
    let lane = worker.lanes[number].clone();
    let mean = lane.pause * callers * 100_000 / worker.load;
    let mut again = None;
    while !worker.is_over() {
        if again.is_none() {
            let pause = chance.wait(mean).min(5 * mean);
            sleep(Duration::from_micros(pause)).await;
        }
        let subject = match lane.does {
            Does::Alone => worker.number as u64,
            _ if lane.is("day") => now() / DAY_SLOT,
            _ => chance.below(lane.subjects),
        };
        let cost = chance.within(lane.costs.0, lane.costs.1) as u32;
        let mut asked =
            Asked { worker: &worker, lane: number, subject, cost, again: again.is_some() };
        match again.take() {
            Some(at) => sleep(Duration::from_micros(at - now().min(at))).await,
            None if chance.is_one_in(20) && lane.does == Does::Check => {
                asked.give_up(chance.below(2_000)).await;
                continue;
            }
            None => {}
        }
        again = asked.ask(&mut chance).await;
    }
}

struct Asked<'a> {
    worker: &'a Worker,
    lane: usize,
    subject: u64,
    cost: u32,
    again: bool,
}

impl Asked<'_> {
    async fn give_up(&mut self, patience: u64) {
        let policy = &self.worker.lanes[self.lane].policy;
        let subject = self.subject.to_string();
        let begun = now();
        let check = self.worker.limiter.check_cost(policy, &subject, self.cost);
        // It may have been admitted, but nobody does what it was for.
        let _ = timeout(Duration::from_micros(patience), check).await;
        self.worker.tell(Event::Call(self.call(begun, now())));
    }

    fn call(&self, begun: u64, ended: u64) -> Call {
        Call {
            worker: self.worker.number,
            lane: self.lane,
            subject: self.subject,
            begun,
            ended,
            told: Told::GivenUp,
            by: By::Nobody,
            cost: self.cost,
            units: 0,
            wait: 0,
            place: None,
            again: self.again,
            most: 0,
        }
    }

    /// Returns the time at which a refusal says to come again, if somebody does.
    async fn ask(&mut self, chance: &mut Chance) -> Option<u64> {
        let Self { worker, .. } = *self;
        let lane = &worker.lanes[self.lane];
        let subject = self.subject.to_string();
        let waits = matches!(lane.does, Does::Wait | Does::WaitAndHold);
        let place = worker.next();
        // The neighbours' places are exchanged where the order is doubted.
        let place = if worker.doubts { place ^ 1 } else { place };
        let begun = now();
        let answer = if waits {
            worker.limiter.wait(&lane.policy, &subject, self.cost, LINE).await
        } else {
            worker.limiter.check_cost(&lane.policy, &subject, self.cost).await
        };
        let ended = now();
        let mut call = self.call(begun, ended);
        judge(&answer, &mut call);
        let calls = if lane.policy.get_lease().is_some_and(|most| most > 0) { 2 } else { 1 };
        call.most = calls * DEADLINE;
        if waits {
            call.most += LINE.as_micros() as u64;
            // It was decided by the last asking, which has the deadline.
            call.begun = begun.max(ended.saturating_sub(5 * DEADLINE));
            call.place = (worker.has_order && lane.does == Does::Wait).then_some(place);
        }
        if ended - begun > call.most + 50_000 {
            // The bare timer may come later than the answer.
            sleep(Duration::from_millis(50)).await;
        }
        call.most += 3 * worker.stall();
        if matches!(call.by, By::Store) && call.told != Told::Unavailable {
            worker.last_answer.fetch_max(ended, Ordering::Relaxed);
        }
        if waits && call.told == Told::Admitted && ended - begun > 5 * DEADLINE {
            call.most = u64::MAX;
        }
        let again = (lane.does == Does::Alone && call.told == Told::Refused)
            .then_some(ended + if worker.doubts { call.wait / 2 } else { call.wait });
        match answer {
            Ok(decision) if call.told == Told::Admitted => {
                self.end(decision, chance, &mut call).await;
            }
            Ok(_) => {}
            Err(error) => worker.tell(Event::Error(format!("{error:?}"))),
        }
        worker.tell(Event::Call(call));
        again
    }

    async fn end(&self, decision: Decision, chance: &mut Chance, call: &mut Call) {
        let Self { worker, lane, subject, .. } = *self;
        match worker.lanes[lane].does {
            Does::Refund if chance.is_one_in(3) => {
                call.units = 0;
                if let Err(error) = worker.limiter.refund(decision).await {
                    worker.tell(Event::Error(format!("{error:?}")));
                }
            }
            Does::Settle => {
                let actual = chance.below(5) as u32;
                call.units = actual.min(call.cost);
                if let Err(error) = worker.limiter.settle(decision, actual).await {
                    worker.tell(Event::Error(format!("{error:?}")));
                }
            }
            Does::Hold | Does::WaitAndHold => {
                let (id, worker_number) = (worker.id(), worker.number);
                worker.tell(Event::Holds { lane, subject, id, worker: worker_number, at: now() });
                sleep(Duration::from_millis(chance.within(50, 1_200))).await;
                worker.tell(Event::Frees { lane, subject, id, at: now() });
                drop(decision);
            }
            _ => {}
        }
    }
}

pub(crate) fn judge(answer: &Result<Decision, Unavailable>, call: &mut Call) {
    let Ok(decision) = answer else {
        call.told = Told::Unavailable;
        return;
    };
    call.by = match decision.source() {
        Source::Store => By::Store,
        Source::DenyCache | Source::Lease => By::Near,
        Source::Local => By::Local,
        Source::Open => By::Open,
        _ => By::Nobody,
    };
    call.wait = decision.retry_after().map_or(0, |wait| wait.as_micros() as u64);
    call.told = match decision.outcome() {
        Outcome::Allowed => Told::Admitted,
        Outcome::Refused { .. } => Told::Refused,
        Outcome::Banned { .. } => Told::Banned,
        Outcome::Never => Told::Never,
        _ => Told::Blocked,
    };
    if call.told == Told::Admitted {
        call.units = call.cost;
    }
}

/// What an operator does now and then: looks, forgets, bans and pardons.
async fn operate(worker: Arc<Worker>, mut chance: Chance) {
    while !worker.is_over() {
        sleep(Duration::from_micros(chance.wait(6_000_000).min(20_000_000))).await;
        let names = ["sliding", "fixed", "gcra", "ban"];
        let name = names[chance.below(4) as usize];
        let lane = worker.lanes.iter().position(|lane| lane.is(name)).unwrap();
        let policy = &worker.lanes[lane].policy;
        let number = chance.below(2);
        let (subject, limiter) = (number.to_string(), &worker.limiter);
        let from = now();
        let done = match chance.below(4) {
            0 => limiter.peek(policy, &subject, 1).await.map(|_| false),
            1 => limiter.reset(policy, &subject).await.map(|()| true),
            2 if name == "ban" => limiter.unban(policy, &subject).await.map(|_| true),
            _ if name == "ban" => {
                limiter.ban(policy, &subject, Duration::from_secs(1)).await.map(|()| true)
            }
            _ => limiter.peek(policy, &subject, 1).await.map(|_| false),
        };
        // What nobody knows of may be done when a server runs on that was stopped.
        let to = now() + if done.is_err() { 12_000_000 } else { 0 };
        if let Err(error) = &done {
            worker.tell(Event::Error(format!("{error:?}")));
        }
        if done.unwrap_or(true) {
            worker.tell(Event::Cut(Cut { of: Some((lane, number)), from, to, forgets: u64::MAX }));
        }
    }
}
