//! The lease of one key: its unspent permits, and when and how many to lease next.

use smallvec::SmallVec;
use tokio::sync::watch;

use crate::algorithm::Refund;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Verdict;
use crate::{BackendError, Outcome, Policy, Quota, QuotaState, Source};

/// A lease takes at most one in so many of the remaining units. Near the limit that is less than
/// two, and then every check asks the store.
const SHARE: u32 = 4;
/// A lease may be spent for at most one in so many of the shortest period.
const HOLD_SHARE: u64 = 10;

/// The lease of a key that has been admitted, and the demand for it.
pub(super) struct KeyLease {
    grant: Option<Grant>,
    refill: Option<watch::Receiver<RefillState>>,
    demand: Demand,
    /// The remaining units by the store's last answer.
    remaining: u32,
    /// Incremented when the store forgets what was charged until then.
    epoch: u32,
    /// `true` if the return of unspent permits at the end of the lease is scheduled.
    pub(super) return_scheduled: bool,
}

/// The limits of one lease.
#[derive(Clone, Copy)]
pub(super) struct LeaseLimits {
    /// The most permits.
    pub(super) max: u32,
    /// The longest time for which they may be spent.
    pub(super) hold: TimeSpan,
}

/// A charge of several units, the permits, of which some are not spent yet.
pub(super) struct Grant {
    pub(super) stamp: Timestamp,
    units: u32,
    /// The unspent permits.
    pub(super) left: u32,
    /// The beginning of the lease, on the local clock: the store was asked for it then.
    asked: Timestamp,
    /// The end of the lease, on the local clock.
    pub(super) until: Timestamp,
    /// The quotas by the store's answer, in which all units are charged.
    quotas: SmallVec<[QuotaState; 1]>,
}

/// The state of a refill, for those who wait for it.
pub(super) enum RefillState {
    Pending,
    Done,
    Failed(BackendError),
}

/// The next step for a check.
pub(super) enum NextStep {
    /// It is admitted: a permit was spent.
    Spent,
    /// Wait for another check's refill.
    Wait(watch::Receiver<RefillState>),
    /// Ask the store for this check alone.
    Ask,
    /// Refill the lease.
    Refill(Refill),
}

/// A refill that is to be carried out.
pub(super) struct Refill {
    /// The units to ask the store for, the check's cost among them.
    pub(super) units: u32,
    /// The epoch in which it began.
    pub(super) epoch: u32,
    /// Notifies those who wait.
    pub(super) state: watch::Sender<RefillState>,
}

impl LeaseLimits {
    /// Returns the limits for a policy.
    pub(super) fn of(self, policy: &Policy) -> Self {
        let shortest = policy.quotas().iter().map(Quota::period_micros).min().unwrap_or(0);
        let hold = self.hold.min(TimeSpan::from_micros(shortest / HOLD_SHARE));
        Self { max: policy.max_lease(self.max), hold }
    }
}

impl KeyLease {
    /// Creates the lease of a key whose check of `cost` was admitted by `verdict`.
    pub(super) fn new(now: Timestamp, cost: u32, limits: LeaseLimits, verdict: &Verdict) -> Self {
        let mut demand = Demand::default();
        demand.add(now, cost, limits.hold);
        let remaining = least_remaining(verdict.quotas());
        Self { grant: None, refill: None, demand, remaining, epoch: 0, return_scheduled: false }
    }

    /// Returns `true` if permits would be lost with it.
    pub(super) fn is_in_use(&self) -> bool {
        self.grant.is_some() || self.refill.is_some()
    }

    /// Spends `cost` permits, if there are as many and the lease has not ended.
    #[inline]
    pub(super) fn spend(
        &mut self,
        cost: u32,
        now: Timestamp,
        limits: LeaseLimits,
        verdict: &mut Verdict,
    ) -> bool {
        let Some(grant) = &mut self.grant else { return false };
        if cost == 0 || grant.left < cost || !grant.is_live(now) {
            return false;
        }
        grant.left -= cost;
        grant.write(Source::Lease, verdict);
        self.demand.add(now, cost, limits.hold);
        true
    }

    /// Returns the next step for a check: spends permits if it can, and otherwise decides between
    /// asking, refilling and waiting.
    pub(super) fn next_step(
        &mut self,
        cost: u32,
        now: Timestamp,
        limits: LeaseLimits,
        verdict: &mut Verdict,
    ) -> NextStep {
        if self.spend(cost, now, limits, verdict) {
            return NextStep::Spent;
        }
        if cost == 0 {
            return NextStep::Ask;
        }
        if let Some(refill) = &self.refill {
            // An error means that the task of the refill is gone, together with its runtime.
            if refill.has_changed().is_ok() {
                return NextStep::Wait(refill.clone());
            }
            self.refill = None;
        }
        self.demand.add(now, cost, limits.hold);
        let units = (self.demand.per_hold() / 2).min(limits.max).min(self.remaining / SHARE);
        // A whole number of checks of this cost.
        let units = units - units % cost;
        if units <= cost {
            return NextStep::Ask;
        }
        let (state, refill) = watch::channel(RefillState::Pending);
        self.refill = Some(refill);
        NextStep::Refill(Refill { units, epoch: self.epoch, state })
    }

    /// Updates the remaining units by the store's answer to a single check.
    pub(super) fn update_remaining(&mut self, verdict: &Verdict) {
        self.remaining = least_remaining(verdict.quotas());
    }

    /// Ends a refill that began in `epoch`. Returns `true` if the store still knows its charge.
    pub(super) fn end_refill(&mut self, epoch: u32) -> bool {
        self.refill = None;
        self.epoch == epoch
    }

    /// Replaces the grant. Returns the unspent rest of the one before, which is to be returned to
    /// the store.
    pub(super) fn replace_grant(&mut self, grant: Grant) -> Option<Grant> {
        self.remaining = least_remaining(&grant.quotas);
        self.grant.replace(grant).filter(|grant| grant.left > 0)
    }

    /// Takes back permits that were spent of the present grant. Returns `true` if it did.
    pub(super) fn take_back(&mut self, refund: Refund) -> bool {
        let Refund { now, charged_at, cost } = refund;
        match &mut self.grant {
            Some(grant) if grant.stamp == charged_at && grant.is_live(now) => {
                // Other units may have been charged in the same microsecond.
                let fits = grant.units - grant.left >= cost;
                grant.left += if fits { cost } else { 0 };
                fits
            }
            _ => false,
        }
    }

    /// Ends the lease. Returns its unspent rest.
    pub(super) fn retire(&mut self) -> Option<Grant> {
        self.remaining = 0;
        self.grant.take().filter(|grant| grant.left > 0)
    }

    /// Drops the lease because the store forgets its charge: the rest is neither spent nor returned.
    pub(super) fn forget(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.retire();
    }

    /// Takes the unspent rest of a lease that has ended. The error is the instant at which it will.
    pub(super) fn expire(&mut self, now: Timestamp) -> Result<Option<Grant>, Timestamp> {
        match &self.grant {
            Some(grant) if now < grant.until => Err(grant.until),
            _ => Ok(self.grant.take().filter(|grant| grant.left > 0)),
        }
    }

    /// Returns the refill that is under way.
    pub(super) fn refill(&self) -> Option<watch::Receiver<RefillState>> {
        self.refill.clone()
    }
}

impl Grant {
    /// Creates the grant of `units` that `verdict` admitted, of which `left` are not spent. The store
    /// was asked for them at `asked`; they may be spent for `hold`.
    pub(super) fn new(
        units: u32,
        left: u32,
        asked: Timestamp,
        hold: TimeSpan,
        verdict: &Verdict,
    ) -> Self {
        Self {
            stamp: Timestamp::from_micros(verdict.stamp_micros()),
            units,
            left,
            asked,
            until: asked.saturating_add(hold),
            quotas: verdict.quotas().into(),
        }
    }

    /// Returns `true` if permits may be spent at `now`. That holds even if the process was stopped
    /// for a while, but not if its clock was set back.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.asked <= now && now < self.until
    }

    /// Writes the admission, with the quotas as they were when this was granted, and the unspent
    /// permits added to the remaining units.
    pub(super) fn write(&self, source: Source, verdict: &mut Verdict) {
        verdict.restart(Outcome::Allowed, self.stamp.micros());
        verdict.set_source(source);
        for state in &self.quotas {
            verdict.push(state.with_more(self.left));
        }
    }
}

/// Returns the remaining units of the tightest quota.
fn least_remaining(quotas: &[QuotaState]) -> u32 {
    quotas.iter().map(QuotaState::remaining).min().unwrap_or(0)
}

/// The units that were asked for lately.
#[derive(Default)]
struct Demand {
    since: Timestamp,
    units: u32,
    /// The units of the interval before.
    before: u32,
}

impl Demand {
    #[inline]
    fn add(&mut self, now: Timestamp, cost: u32, hold: TimeSpan) {
        match now.checked_since(self.since) {
            Some(elapsed) if elapsed < hold => {}
            Some(elapsed) if elapsed < hold.saturating_mul(2) => {
                *self = Self { since: self.since + hold, units: 0, before: self.units };
            }
            _ => *self = Self { since: now, units: 0, before: 0 },
        }
        self.units = self.units.saturating_add(cost);
    }

    /// Returns the units that were asked for in as long a time as a lease may be spent.
    fn per_hold(&self) -> u32 {
        self.units.max(self.before)
    }
}
