//! The store that all instances share, and each instance's way to it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tollgate::backend::{Action, Answer, Operation};
use tollgate::{Backend, BackendError, Check, Clock, MemoryBackend, Outcome, Policy, Quota};

use crate::chance::Chance;
use crate::faults::{Fault, Way};
use crate::fleet::Fleet;
use crate::timeline::{DriftingClock, Timeline};

/// The longest way to the store, unless it is slow.
pub(crate) const LONGEST_WAY: u64 = 10_000;
/// A way of a slow store: longer than any deadline.
const SLOW_WAY: u64 = 150_000;

/// The store's clock: it drifts, jumps at a failover, and can be shown a time of the past.
#[derive(Clone)]
struct StoreClock {
    drifting: DriftingClock,
    jumped: Arc<AtomicI64>,
    /// The time that it shows while a replica catches up; 0 otherwise.
    shown: Arc<AtomicU64>,
}

impl Clock for StoreClock {
    fn now_micros(&self) -> u64 {
        match self.shown.load(Ordering::Relaxed) {
            0 => {
                let jumped = self.jumped.load(Ordering::Relaxed);
                self.drifting.now_micros().saturating_add_signed(jumped)
            }
            shown => shown,
        }
    }
}

/// A write that replicas know, too.
struct Write {
    /// When it was, in truth and by the store's clock.
    at: u64,
    shown: u64,
    subject: String,
    units: u32,
    action: Action,
}

pub(crate) struct Store {
    timeline: Timeline,
    clock: StoreClock,
    quota: Quota,
    memory: Mutex<MemoryBackend>,
    /// The writes of the last two periods. What is older no longer counts.
    writes: Mutex<VecDeque<Write>>,
    period: u64,
    calls: AtomicU64,
}

impl Store {
    pub(crate) fn new(fleet: &Fleet, timeline: &Timeline) -> Self {
        let clock = StoreClock {
            drifting: DriftingClock::new(timeline.clone(), 0, fleet.store_drift),
            jumped: Arc::default(),
            shown: Arc::default(),
        };
        Self {
            timeline: timeline.clone(),
            memory: Mutex::new(memory(&clock)),
            clock,
            quota: fleet.quota(),
            writes: Mutex::default(),
            period: fleet.period,
            calls: AtomicU64::new(0),
        }
    }

    /// How often it was asked, reached or not.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn carry_out(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let memory = self.memory.lock().unwrap();
        let Some(answer) = Backend::apply_now(&*memory, operation) else {
            return Err(BackendError::unknown("the memory did not answer at once"));
        };
        drop(memory);
        let is_write = match (&answer, operation.action) {
            (Ok(Answer::Verdict(verdict)), Action::Charge) => verdict.outcome() == Outcome::Allowed,
            (Ok(Answer::Refunded(refunded)), Action::Refund { .. }) => *refunded,
            _ => false,
        };
        if is_write {
            let (at, check) = (self.timeline.now(), operation.check);
            let mut writes = self.writes.lock().unwrap();
            while writes.front().is_some_and(|write| write.at + 2 * self.period < at) {
                writes.pop_front();
            }
            writes.push_back(Write {
                at,
                shown: self.clock.now_micros(),
                subject: check.subject.to_owned(),
                units: check.cost,
                action: operation.action,
            });
        }
        answer
    }

    /// Lets a replica take over, which lacks the writes after `known` and whose clock is ahead by
    /// `jump`. Calls `lost` with the subject and the units of each charge that is forgotten.
    pub(crate) fn fail_over(&self, known: u64, jump: i64, mut lost: impl FnMut(&str, u32)) {
        let mut memory_of_all = self.memory.lock().unwrap();
        let mut writes = self.writes.lock().unwrap();
        let kept = writes.partition_point(|write| write.at <= known);
        for write in writes.drain(kept..) {
            if write.action == Action::Charge {
                lost(&write.subject, write.units);
            }
        }
        let replica = memory(&self.clock);
        let policy = Policy::new("fleet", self.quota);
        for write in &*writes {
            self.clock.shown.store(write.shown, Ordering::Relaxed);
            let check = Check::new(&policy, &write.subject, write.units);
            let _ = Backend::apply_now(&replica, &Operation::new(check, write.action));
        }
        self.clock.shown.store(0, Ordering::Relaxed);
        self.clock.jumped.fetch_add(jump, Ordering::Relaxed);
        *memory_of_all = replica;
    }

    /// The units of a subject that are in use.
    pub(crate) fn used(&self, subject: &str) -> u32 {
        let policy = Policy::new("fleet", self.quota);
        let peek = Operation::peek(Check::new(&policy, subject, 0));
        match Backend::apply_now(&*self.memory.lock().unwrap(), &peek) {
            Some(Ok(Answer::Verdict(verdict))) => {
                let remaining = verdict.quotas().first().map_or(0, |quota| quota.remaining());
                self.quota.limit() - remaining
            }
            other => panic!("a look is answered with {other:?}"),
        }
    }
}

fn memory(clock: &StoreClock) -> MemoryBackend {
    MemoryBackend::builder().max_keys(1 << 20).clock(clock.clone()).build()
}

/// An instance's way to the store.
pub(crate) struct WayToStore {
    pub store: Arc<Store>,
    pub fleet: &'static Fleet,
    pub faults: &'static [Fault],
    pub instance: usize,
    pub chance: Mutex<Chance>,
}

impl WayToStore {
    fn fault(&self) -> Option<&Fault> {
        let now = self.store.timeline.now();
        let fault = self.faults.get((now / self.fleet.slot) as usize)?;
        fault.is_on(now).then_some(fault)
    }

    /// Travels to the store, or back from it. Returns `false` if that is refused.
    async fn travel(&self, is_back: bool) -> bool {
        let (way, micros) = {
            let mut chance = self.chance.lock().unwrap();
            let micros = (200 + chance.wait(300)).min(LONGEST_WAY);
            let way = self.fault().map_or(Way::Open, |fault| {
                let way = if is_back { Fault::way_back } else { Fault::way_there };
                way(fault, self.instance, self.fleet, &mut chance)
            });
            (way, micros)
        };
        match way {
            Way::Open | Way::Refused => self.store.timeline.pass(micros).await,
            Way::Slow => self.store.timeline.pass(micros + SLOW_WAY).await,
            Way::Lost => pending().await,
        }
        way != Way::Refused
    }
}

impl Backend for WayToStore {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.store.calls.fetch_add(1, Ordering::Relaxed);
        if !self.travel(false).await {
            let refused = || Err(BackendError::not_executed("connection refused"));
            return batch.iter().map(|_| refused()).collect();
        }
        let answers = batch.iter().map(|operation| self.store.carry_out(operation)).collect();
        self.travel(true).await;
        answers
    }
}
