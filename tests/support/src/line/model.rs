//! The model: the list of those who wait, judged one after the other at each instant by the
//! definition of the algorithm.

use std::time::Duration;

use tollgate::{Algorithm, Outcome};

use super::crowd::PLAN_AGE;
use super::steps::{Case, Step};
use super::{Event, Fate, is_reset_first};
use crate::reference::{Numbers, Reference, micros};

pub struct Model {
    algorithm: Algorithm,
    declared: Vec<Numbers>,
    /// The limit that an override sets.
    limit: Option<u32>,
    is_on: bool,
    plan: ModelPlan,
    /// What was said of the subject, and when.
    told: Option<(ModelPlan, u64)>,
    quotas: Vec<Reference>,
    /// The numbers by which the quotas judge now.
    numbers: Vec<Numbers>,
    now: u64,
    line: Vec<Waiting>,
    arrived: usize,
    /// When, and how much, was admitted and can be given back.
    admitted: Vec<(u64, u32)>,
    events: Vec<Event>,
    /// Who was refused because the policy cannot admit it in time, whatever happens.
    pub hopeless: Vec<usize>,
    /// Who is not refused for that.
    hopeful: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ModelPlan {
    None,
    Limit(u32),
    Off,
}

struct Waiting {
    number: usize,
    cost: u32,
    until: u64,
    judged: Option<Vec<Numbers>>,
}

impl Model {
    pub fn new(algorithm: Algorithm, numbers: &[Numbers], now: u64) -> Self {
        Self {
            algorithm,
            declared: numbers.to_vec(),
            limit: None,
            is_on: true,
            plan: ModelPlan::None,
            told: None,
            quotas: fresh(algorithm, numbers),
            numbers: numbers.to_vec(),
            now,
            line: Vec::new(),
            arrived: 0,
            admitted: Vec::new(),
            events: Vec::new(),
            hopeless: Vec::new(),
            hopeful: None,
        }
    }

    pub fn step(&mut self, step: Step) -> Vec<Event> {
        match step {
            Step::Wait(cost, patience) => self.join(cost, patience),
            Step::Check(cost) => self.check(cost),
            Step::Pass(span) => self.now += span,
            Step::PassThenCheck(span, cost) => {
                self.now += span;
                self.check(cost);
            }
            Step::PassThenWait(span, cost, patience) => {
                self.now += span;
                self.join(cost, patience);
            }
            Step::PassThenDrop(span, index) => {
                self.now += span;
                self.give_up(index);
            }
            Step::Drop(index) => self.give_up(index),
            Step::Refund(back) => self.refund(back),
            Step::Reset => self.reset(),
            Step::Limit(limit) => {
                if is_reset_first(self.algorithm) {
                    self.reset();
                }
                self.limit = Some(limit);
            }
            Step::Switch(is_on) => self.is_on = is_on,
            Step::Plan(limit) => self.plan = limit.map_or(ModelPlan::None, ModelPlan::Limit),
            Step::PlanOff => self.plan = ModelPlan::Off,
        }
        self.settle();
        std::mem::take(&mut self.events)
    }

    /// Whether somebody would have been admitted in time who was refused in this step because the
    /// policy cannot admit it, if nothing else had happened any more.
    pub fn would_have_gone(case: &Case, last: usize, number: usize) -> bool {
        let mut model = Self::new(case.algorithm, &case.numbers, crate::reference::START);
        model.hopeful = Some(number);
        let mut left: Vec<Event> =
            case.steps[..=last].iter().flat_map(|step| model.step(*step)).collect();
        loop {
            let fate = |event: &Event| match event {
                Event::Left(who, fate) if *who == number => Some(*fate),
                _ => None,
            };
            if let Some(fate) = left.iter().find_map(fate) {
                return fate != Fate::Refused;
            }
            let Some(waiting) = model.line.iter().find(|waiting| waiting.number == number) else {
                return false;
            };
            let left_to_it = waiting.until.saturating_sub(model.now);
            let wait = model.line.first().and_then(|first| model.wait_of_first(first.cost));
            if left_to_it == 0 {
                return false;
            }
            left = model.step(Step::Pass(wait.unwrap_or(1).min(left_to_it)));
        }
    }

    /// Whether the policy is on for the subject. Also finds out by which numbers it judges now.
    fn look(&mut self) -> bool {
        if !self.is_on {
            return false;
        }
        let is_fresh = |(_, at): &(ModelPlan, u64)| self.now - at < PLAN_AGE;
        if !self.told.as_ref().is_some_and(is_fresh) {
            self.told = Some((self.plan, self.now));
        }
        let mut numbers = self.declared.clone();
        if let Some(limit) = self.limit {
            numbers[0].limit = limit;
        }
        match self.told {
            Some((ModelPlan::Off, _)) => return false,
            Some((ModelPlan::Limit(limit), _)) => numbers[0].limit = limit,
            Some((ModelPlan::None, _)) | None => {}
        }
        if numbers != self.numbers {
            if is_reset_first(self.algorithm) {
                self.quotas = fresh(self.algorithm, &numbers);
            } else {
                for (quota, numbers) in self.quotas.iter_mut().zip(&numbers) {
                    quota.relimit(std::slice::from_ref(numbers));
                }
            }
            self.numbers = numbers;
        }
        true
    }

    fn can_hold(&self, cost: u32) -> bool {
        self.numbers.iter().all(|numbers| u64::from(cost) <= numbers.capacity())
    }

    fn join(&mut self, cost: u32, patience: u64) {
        let until = self.now.saturating_add(patience);
        self.line.push(Waiting { number: self.arrived, cost, until, judged: None });
        self.arrived += 1;
        if let Some(fate) = self.judge(self.line.len() - 1) {
            self.leave(self.line.len() - 1, fate);
        }
    }

    fn settle(&mut self) {
        let mut index = 0;
        while index < self.line.len() {
            match self.judge(index) {
                Some(fate) => {
                    self.leave(index, fate);
                    index = 0;
                }
                None => index += 1,
            }
        }
    }

    fn leave(&mut self, index: usize, fate: Fate) {
        let left = self.line.remove(index);
        self.events.push(Event::Left(left.number, fate));
    }

    /// The fate of somebody who leaves now; `None` if it stays.
    fn judge(&mut self, index: usize) -> Option<Fate> {
        if !self.look() {
            return Some(Fate::Free);
        }
        let Waiting { number, cost, until, .. } = self.line[index];
        if cost == 0 {
            return Some(Fate::Admitted);
        }
        if !self.can_hold(cost) {
            return Some(Fate::Never);
        }
        if index == 0 {
            return match self.wait_of_first(cost) {
                None => {
                    self.charge(cost);
                    Some(Fate::Admitted)
                }
                Some(wait) if self.now.saturating_add(wait) <= until => None,
                Some(_) => Some(Fate::Refused),
            };
        }
        // Whoever the policy can never admit, or whose patience has ended, is about to leave.
        let stay = self.line[..index]
            .iter()
            .filter(|waiting| self.can_hold(waiting.cost) && waiting.until > self.now);
        let ahead: u64 = stay.map(|waiting| u64::from(waiting.cost)).sum();
        let numbers = Some(self.numbers.clone());
        let is_new = self.line[index].judged != numbers;
        self.line[index].judged = numbers;
        let left = until.saturating_sub(self.now);
        if is_new && !self.can_pass(ahead, cost, left) {
            if self.hopeful != Some(number) {
                // The length of a leaky bucket's line is bounded, whatever the time.
                if self.algorithm != Algorithm::LeakyBucket || self.is_short(ahead, cost) {
                    self.hopeless.push(number);
                }
                return Some(Fate::Refused);
            }
            // All before it stay, and so does the policy.
            self.line[..index].iter_mut().for_each(|waiting| waiting.until = u64::MAX);
            if let Some((plan, _)) = self.told {
                self.plan = plan;
            }
        }
        (until <= self.now).then_some(Fate::Refused)
    }

    fn is_short(&self, ahead: u64, cost: u32) -> bool {
        self.numbers.iter().all(|numbers| ahead + u64::from(cost) <= numbers.capacity())
    }

    /// The most that the quotas admit within a span, at best, counted one by one.
    fn can_pass(&self, ahead: u64, cost: u32, span: u64) -> bool {
        let total = u128::from(ahead) + u128::from(cost);
        self.numbers.iter().all(|numbers| {
            let (limit, period) = (u128::from(numbers.limit), u128::from(numbers.period));
            let mut most = match self.algorithm {
                Algorithm::SlidingWindow => 0,
                Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => limit,
                Algorithm::LeakyBucket => {
                    let leaked = u128::from(ahead) * period <= u128::from(span) * limit;
                    return leaked && total <= u128::from(numbers.capacity());
                }
                _ => u128::from(numbers.capacity()),
            };
            let mut count = 0;
            while most < total {
                let (comes, units) = match self.algorithm {
                    Algorithm::TokenBucket | Algorithm::Gcra => {
                        (((count + 1) * period).div_ceil(limit), 1)
                    }
                    _ => (count * period, limit),
                };
                if comes > u128::from(span) {
                    return false;
                }
                most += units;
                count += 1;
            }
            true
        })
    }

    /// How long the first in line has to wait for its turn; `None` if it is now.
    fn wait_of_first(&self, cost: u32) -> Option<u64> {
        let spaced = self.algorithm == Algorithm::LeakyBucket;
        let quotas = self.quotas.iter().zip(&self.numbers);
        let waits = quotas.map(|(quota, numbers)| {
            // A leaky bucket has to be empty.
            let capacity = u32::try_from(numbers.capacity()).unwrap();
            told(quota, self.now, if spaced { capacity } else { cost })
        });
        waits.max().filter(|wait| *wait > 0)
    }

    fn charge(&mut self, cost: u32) {
        for quota in &mut self.quotas {
            quota.take(self.now, cost);
        }
        self.admitted.push((self.now, cost));
    }

    fn check(&mut self, cost: u32) {
        if !self.look() {
            return self.events.push(Event::Checked(true, None));
        }
        if !self.can_hold(cost) {
            return self.events.push(Event::Checked(false, None));
        }
        let ahead: u64 = self.line.iter().map(|waiting| u64::from(waiting.cost)).sum();
        let waits = ahead > 0 && cost > 0;
        let total = u32::try_from(if waits { ahead } else { 0 }).unwrap() + cost;
        let (passes, wait) = match self.algorithm {
            Algorithm::LeakyBucket if waits => (false, Some(self.wait_behind_spaced(cost))),
            _ if self.can_hold(total) => {
                let wait = self.quotas.iter().map(|quota| told(quota, self.now, total)).max();
                (wait == Some(0), wait)
            }
            // After how long is not said to the microsecond.
            _ => (false, None),
        };
        if passes && cost > 0 {
            self.charge(cost);
        }
        let wait = wait.filter(|_| !passes).map(Duration::from_micros);
        self.events.push(Event::Checked(passes, wait));
    }

    /// The time until all in line have left, one by one, and there is room beside the last.
    fn wait_behind_spaced(&self, cost: u32) -> u64 {
        let empty = self.quotas.iter().zip(&self.numbers).map(|(quota, numbers)| {
            told(quota, self.now, u32::try_from(numbers.capacity()).unwrap())
        });
        let leaks = self.numbers.iter().map(|numbers| {
            let (last, others) = self.line.split_last().unwrap();
            let before: u64 = others.iter().map(|waiting| u64::from(waiting.cost)).sum();
            let beside = u64::from(last.cost) + u64::from(cost);
            let units = before + beside.saturating_sub(numbers.capacity());
            (units * numbers.period).div_ceil(numbers.limit.into())
        });
        (empty.max().unwrap() + leaks.max().unwrap()).max(1)
    }

    fn give_up(&mut self, index: usize) {
        if !self.line.is_empty() {
            self.line.remove(index % self.line.len());
        }
    }

    fn refund(&mut self, back: usize) {
        let Some(index) = self.admitted.len().checked_sub(back + 1) else { return };
        let (at, cost) = self.admitted.remove(index);
        let now = self.now;
        let refunds = self.quotas.iter_mut().map(|quota| quota.refund(now, at, cost));
        let any = refunds.fold(false, |any, refunded| any | refunded);
        self.events.push(Event::Refunded(any));
    }

    fn reset(&mut self) {
        self.quotas = fresh(self.algorithm, &self.numbers);
        self.admitted.clear();
        self.look();
    }
}

fn fresh(algorithm: Algorithm, numbers: &[Numbers]) -> Vec<Reference> {
    numbers.iter().map(|numbers| Reference::new(algorithm, std::slice::from_ref(numbers))).collect()
}

/// After how long a quota admits a cost that it can hold.
fn told(quota: &Reference, now: u64, cost: u32) -> u64 {
    match quota.outcome(now, cost) {
        Outcome::Refused { retry_after } => micros(retry_after),
        _ => 0,
    }
}
