//! The faults of a run: one in each slot of time, of every kind in turn.

use crate::chance::Chance;
use crate::fleet::Fleet;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The store refuses connections.
    Down,
    /// The store takes requests and does nothing.
    Hangs,
    /// A fifth of the instances cannot reach the store.
    Partition,
    /// A fifth of the instances reach the store, and its answers do not reach them.
    OneWay,
    /// Of all requests, and of all answers, some are lost.
    Loss,
    /// The ways to the store take longer than the deadline.
    Slow,
    /// The store hangs, and then another takes over, which lacks the last writes and has another
    /// clock.
    Failover,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Down,
        Self::Hangs,
        Self::Partition,
        Self::OneWay,
        Self::Loss,
        Self::Slow,
        Self::Failover,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Hangs => "hangs",
            Self::Partition => "partition",
            Self::OneWay => "one way",
            Self::Loss => "loss",
            Self::Slow => "slow",
            Self::Failover => "failover",
        }
    }

    /// `true` if during the fault nobody gets an answer of the store.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Down | Self::Hangs)
    }
}

/// A fault, in microseconds of the true time.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub from: u64,
    pub to: u64,
    /// Until then it may be felt.
    pub settled: u64,
    /// Nobody comes from then on to the end of the slot, so that the accounts can be compared.
    pub quiet: u64,
    /// The slot's end.
    pub end: u64,
    /// Of a partition: the first instance that is cut off.
    pub first: usize,
    /// Of a failover: how long before it the last write was that the replica has, and by how much
    /// its clock is ahead of the former one.
    pub lacks: u64,
    pub jump: i64,
}

/// What becomes of a request to the store, or of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    Refused,
    Lost,
    Slow,
}

impl Fault {
    /// The faults of a run.
    pub(crate) fn schedule(fleet: &Fleet) -> Vec<Self> {
        let mut chance = Chance::new(fleet.seed, u64::MAX);
        (0..fleet.slots)
            .map(|slot| {
                let kind = Kind::ALL[slot as usize % Kind::ALL.len()];
                let begin = slot * fleet.slot;
                let end = begin + fleet.slot;
                // The first window of a run is that of an empty store.
                let from = begin + fleet.period + chance.below(fleet.period / 2);
                let length = match kind {
                    Kind::Failover => fleet.failover * 3 / 8 + chance.below(fleet.failover * 5 / 8),
                    _ => fleet.fault / 2 + chance.below(fleet.fault / 2),
                };
                let to = from + length;
                Self {
                    kind,
                    from,
                    to,
                    settled: to + fleet.settle,
                    quiet: end - fleet.quiet,
                    end,
                    first: chance.below(fleet.instances as u64) as usize,
                    lacks: 200_000 + chance.below(1_800_000),
                    jump: chance.below(10_000) as i64 - 5_000,
                }
            })
            .collect()
    }

    pub(crate) fn is_on(&self, now: u64) -> bool {
        (self.from..self.to).contains(&now)
    }

    fn cuts_off(&self, instance: usize, fleet: &Fleet) -> bool {
        (instance + fleet.instances - self.first) % fleet.instances < fleet.instances / 5
    }

    /// What becomes of a request of `instance` that is sent now, or arrives now.
    pub(crate) fn way_there(&self, instance: usize, fleet: &Fleet, chance: &mut Chance) -> Way {
        match self.kind {
            Kind::Down => Way::Refused,
            Kind::Hangs | Kind::Failover => Way::Lost,
            Kind::Partition if self.cuts_off(instance, fleet) => Way::Lost,
            Kind::Loss if chance.is_one_in(50) => Way::Lost,
            Kind::Slow => Way::Slow,
            Kind::Partition | Kind::OneWay | Kind::Loss => Way::Open,
        }
    }

    /// What becomes of an answer to `instance` that is given now.
    pub(crate) fn way_back(&self, instance: usize, fleet: &Fleet, chance: &mut Chance) -> Way {
        match self.kind {
            Kind::OneWay if self.cuts_off(instance, fleet) => Way::Lost,
            Kind::Loss if chance.is_one_in(50) => Way::Lost,
            Kind::Slow => Way::Slow,
            _ => Way::Open,
        }
    }
}
