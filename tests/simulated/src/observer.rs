//! Somebody who stands at all doors, and sees by the true time who is let in: the exact limiter, to
//! which the fleet is compared.

use std::collections::VecDeque;

use tollgate::{OnError, Source};

use crate::faults::Fault;
use crate::figures::{Figures, Recovery};
use crate::fleet::{Fleet, Mode};

/// By how much instants may differ between the store and the door: an answer takes a while, and within
/// a period the clocks drift apart and jump by some milliseconds.
pub const TOLERANCE: u64 = 50_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Admitted,
    Refused,
    /// Nobody could decide, so the limit is closed.
    Failed,
}

/// A request whose end is known.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    pub request: u64,
    pub instance: usize,
    pub subject: usize,
    pub end: End,
    /// Who has decided; `None` if nobody could.
    pub source: Option<Source>,
}

#[derive(Clone, Copy)]
struct Admission {
    request: u64,
    instance: usize,
    at: u64,
    /// When it was given back, and at which instance.
    refunded: Option<(u64, usize)>,
}

#[derive(Default)]
struct Door {
    admitted: VecDeque<Admission>,
    /// Whom the exact limiter has admitted that has only its own admissions to count: the instants
    /// and the requests.
    exact: VecDeque<(u64, u64)>,
    /// When charges were lost in a failover, and how many units.
    lost: VecDeque<(u64, u32)>,
}

/// A refusal that is judged when all admissions that the store had made before it are known.
struct Refusal {
    at: u64,
    instance: usize,
    subject: usize,
}

pub struct Observer<'a> {
    fleet: &'a Fleet,
    mode: &'a Mode,
    faults: &'a [Fault],
    doors: Vec<Door>,
    refusals: VecDeque<Refusal>,
    pub figures: Figures,
}

impl<'a> Observer<'a> {
    pub fn new(fleet: &'a Fleet, mode: &'a Mode, faults: &'a [Fault]) -> Self {
        let doors = (0..fleet.subjects).map(|_| Door::default()).collect();
        let (refusals, figures) = (VecDeque::new(), Figures::new(fleet));
        Self { fleet, mode, faults, doors, refusals, figures }
    }

    fn fault(&self, at: u64) -> Option<&'a Fault> {
        self.faults.get((at / self.fleet.slot) as usize)
    }

    /// `true` if no fault is on or may still be felt.
    fn is_calm(&self, at: u64) -> bool {
        self.fault(at).is_none_or(|fault| at < fault.from || at >= fault.settled)
    }

    /// A request comes.
    pub fn comes(&mut self, request: u64, subject: usize, now: u64) {
        self.figures.requests += 1;
        let exact = &mut self.doors[subject].exact;
        while exact.front().is_some_and(|(at, _)| at + self.fleet.period <= now) {
            exact.pop_front();
        }
        if exact.len() < self.fleet.limit as usize {
            exact.push_back((now, request));
            self.figures.exact += 1;
        }
    }

    pub fn decided(&mut self, decided: Decided, now: u64) {
        self.judge_refusals(now);
        let Decided { request, instance, subject, end, source } = decided;
        if let Some(source) = source {
            self.figures.count(source);
        }
        if matches!(source, Some(Source::Local | Source::Open) | None) {
            self.note(now, |recovery, after| recovery.alone = recovery.alone.max(after));
            if self.is_calm(now) {
                self.figures.breach(now, subject, "the store does not decide, without a fault");
            }
        }
        match end {
            End::Failed => self.figures.failed += 1,
            End::Refused => {
                self.figures.refused += 1;
                self.refusals.push_back(Refusal { at: now, instance, subject });
            }
            End::Admitted => {
                self.figures.admitted += 1;
                let admitted = &mut self.doors[subject].admitted;
                let kept = 2 * (self.fleet.period + TOLERANCE);
                while admitted.front().is_some_and(|first| first.at + kept < now) {
                    admitted.pop_front();
                }
                admitted.push_back(Admission { request, instance, at: now, refunded: None });
                self.judge_admission(subject, now);
                if source == Some(Source::Local) {
                    self.judge_share(subject, instance, now);
                }
            }
        }
    }

    /// Compares an admission with the limit.
    fn judge_admission(&mut self, subject: usize, now: u64) {
        let in_window = |door: &Door, length: u64| {
            let counted = door.admitted.iter().rev().take_while(|it| it.at + length > now);
            counted.filter(|it| it.refunded.is_none()).count() as u64
        };
        let door = &self.doors[subject];
        let (limit, window) = (u64::from(self.fleet.limit), self.fleet.period - TOLERANCE);
        let admitted = in_window(door, window);
        self.figures.most = self.figures.most.max(admitted);
        let is_over = admitted > limit;
        let since = now.saturating_sub(self.fleet.period + self.mode.hold());
        let lost: u64 = door
            .lost
            .iter()
            .filter(|(at, _)| *at > since)
            .map(|(_, units)| u64::from(*units))
            .sum();
        // What is leased was charged up to a hold before.
        let certain = in_window(door, window - self.mode.hold());
        let bound = limit + lost + self.beyond(now);
        if is_over {
            self.figures.over += 1;
            self.note(now, |recovery, after| recovery.over = recovery.over.max(after));
        }
        if certain > bound {
            let what = format!("{certain} are admitted in a window, and {bound} may be");
            self.figures.breach(now, subject, &what);
        }
    }

    /// Compares an admission by an instance alone with its share, of which it has used what the store
    /// had admitted for it before.
    fn judge_share(&mut self, subject: usize, instance: usize, now: u64) {
        let recent = self.doors[subject].admitted.iter().rev();
        let recent = recent.take_while(|it| it.at + self.fleet.period - TOLERANCE > now);
        let own: Vec<_> = recent.filter(|it| it.instance == instance).collect();
        // A refund makes room although more than the share may have been admitted.
        let is_refunded = own.iter().any(|it| it.refunded.is_some());
        let own = own.len() as u64;
        if own > self.share() && !is_refunded {
            let what = format!("{own} are admitted by instance {instance} alone");
            self.figures.breach(now, subject, &what);
        }
    }

    /// The share of an instance.
    fn share(&self) -> u64 {
        u64::from(self.fleet.limit).div_ceil(self.fleet.instances as u64)
    }

    /// By how much a window that ends now may exceed the limit, beside what a failover has lost.
    fn beyond(&self, now: u64) -> u64 {
        let Some(fault) = self.fault(now).filter(|_| !self.is_calm(now)) else { return 0 };
        let share = self.share();
        match self.mode.on_error {
            OnError::Local if fault.kind.is_complete() && fault.is_on(now) => {
                (self.fleet.instances as u64 - 1) * share
            }
            // Windows across the end: the store admits its limit, and each instance its share.
            OnError::Local => self.fleet.instances as u64 * share,
            OnError::Open => u64::MAX / 2,
            _ => 0,
        }
    }

    /// Compares with the limit the refusals of which all is known.
    fn judge_refusals(&mut self, now: u64) {
        while let Some(Refusal { at, instance, subject }) =
            self.refusals.pop_front_if_before(now.saturating_sub(TOLERANCE))
        {
            let (mut counted, mut excused) = (0, 0);
            for admission in self.doors[subject].admitted.iter().rev() {
                if admission.at > at + TOLERANCE {
                    continue;
                }
                if admission.at + self.fleet.period + TOLERANCE <= at {
                    break;
                }
                match admission.refunded {
                    // It was under way.
                    Some((refunded, _)) if refunded + TOLERANCE > at => counted += 1,
                    // An instance hears of a refund elsewhere when its refusal is too old.
                    Some((refunded, by))
                        if by != instance && refunded + self.mode.max_age() + TOLERANCE > at =>
                    {
                        excused += 1;
                    }
                    Some(_) => {}
                    None => counted += 1,
                }
            }
            if counted >= self.fleet.limit {
                continue;
            }
            self.figures.under += 1;
            let is_excused = counted + excused >= self.fleet.limit;
            if !is_excused {
                self.note(at, |recovery, after| recovery.under = recovery.under.max(after));
            }
            if self.is_calm(at) {
                self.figures.under_in_calm += 1;
                if !is_excused && self.mode.lease == 0 {
                    let what = format!("it is refused, and only {counted} are admitted");
                    self.figures.breach(at, subject, &what);
                }
            }
        }
    }

    /// Notes for the recovery of a fault how long after its end something was still wrong.
    fn note(&mut self, at: u64, note: impl FnOnce(&mut Recovery, u64)) {
        if let Some(fault) = self.fault(at).filter(|fault| at >= fault.from) {
            let recovery = self.figures.recoveries.entry(fault.kind).or_default();
            note(recovery, at.saturating_sub(fault.to));
        }
    }

    /// An admitted request is about to be refunded by `instance`.
    pub fn refunds(&mut self, request: u64, subject: usize, instance: usize, now: u64) {
        self.figures.refunds += 1;
        let door = &mut self.doors[subject];
        if let Some(it) = door.admitted.iter_mut().rev().find(|it| it.request == request) {
            it.refunded = Some((now, instance));
        }
        door.exact.retain(|(_, exact)| *exact != request);
    }

    /// A failover loses a charge of `subject`.
    pub fn loses(&mut self, subject: usize, units: u32, now: u64) {
        self.figures.lost += u64::from(units);
        let lost = &mut self.doors[subject].lost;
        while lost.front().is_some_and(|(at, _)| at + 2 * self.fleet.period < now) {
            lost.pop_front();
        }
        lost.push_back((now, units));
    }

    /// Compares what the store counts for each subject with what was admitted alone during a fault
    /// after which every instance has come back.
    pub fn audit_return(&mut self, now: u64, used: impl Fn(usize) -> u32) {
        if self.mode.on_error == OnError::Open || self.mode.lease > 0 {
            // What passes uncounted is not told, and what is leased was charged before.
            return;
        }
        for subject in 0..self.doors.len() {
            let recent = self.doors[subject].admitted.iter().rev();
            let recent = recent.take_while(|it| it.at + self.fleet.period - TOLERANCE > now);
            let least = recent.filter(|it| it.refunded.is_none()).count() as u32;
            let used = used(subject);
            if used < least.min(self.fleet.limit) {
                let what = format!("the store was told of {used}, and {least} were admitted");
                self.figures.breach(now, subject, &what);
            }
        }
    }

    /// Compares what the store counts for each subject with what was admitted. Nobody has come for a
    /// while.
    pub fn audit(&mut self, now: u64, used: impl Fn(usize) -> u32) {
        self.judge_refusals(now);
        for subject in 0..self.doors.len() {
            let admitted = &self.doors[subject].admitted;
            if admitted.back().is_none_or(|last| last.at + self.fleet.period < now) {
                continue;
            }
            let count = |length: u64| {
                let standing = admitted.iter().filter(|it| it.refunded.is_none());
                standing.filter(|it| it.at + length > now).count() as u32
            };
            // What was leased was charged up to a hold before it was admitted.
            let certain = self.fleet.period - TOLERANCE - self.mode.hold();
            let (least, most) = (count(certain), count(self.fleet.period + TOLERANCE));
            let used = used(subject);
            self.figures.audited += 1;
            if used < least.min(self.fleet.limit) || used > most {
                let what = format!("the store counts {used}, and {least} to {most} were admitted");
                self.figures.breach(now, subject, &what);
            }
        }
    }
}

trait BeforeTime {
    fn pop_front_if_before(&mut self, at: u64) -> Option<Refusal>;
}

impl BeforeTime for VecDeque<Refusal> {
    fn pop_front_if_before(&mut self, at: u64) -> Option<Refusal> {
        self.front().is_some_and(|first| first.at <= at).then(|| self.pop_front())?
    }
}
