//! The lease of one key: its unspent permits, and the decision when to lease more and how many.

use smallvec::SmallVec;
use tokio::sync::watch;

use crate::algorithm::Settlement;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Verdict;
use crate::{BackendError, Outcome, Policy, Quota, QuotaState, Source};

/// A lease takes at most the remaining units divided by this number. Near the limit the result is
/// less than two, and then every check asks the store.
const SHARE: u32 = 4;
/// A lease lasts for at most the policy's shortest period divided by this number.
const HOLD_SHARE: u64 = 10;

/// The lease of a key that the store has admitted, and the recent demand for the key.
pub(super) struct KeyLease {
    grant: Option<Grant>,
    refill: Option<watch::Receiver<RefillState>>,
    demand: Demand,
    /// The remaining units of the key, according to the store's last answer.
    remaining: u32,
    /// The number of resets of this subject, wrapping. A refill that was requested under an earlier
    /// number is not used, because a reset removes its charge from the store.
    epoch: u32,
    /// `true` if the return of unspent permits at the end of the lease is scheduled.
    pub(super) return_scheduled: bool,
}

/// The limits of one lease.
#[derive(Clone, Copy)]
pub(super) struct LeaseLimits {
    /// The maximum number of permits.
    pub(super) max: u32,
    /// The longest time for which the permits may be spent.
    pub(super) hold: TimeSpan,
}

/// The units of one charge at the store, which are permits. Some of them are not spent yet.
pub(super) struct Grant {
    pub(super) stamp: Timestamp,
    units: u32,
    /// The number of unspent permits.
    pub(super) left: u32,
    /// The start of the lease on the local clock: the time at which the store was asked for it.
    asked: Timestamp,
    /// The end of the lease, on the local clock.
    pub(super) until: Timestamp,
    /// The states of the quotas in the store's answer, in which all units are charged.
    quotas: SmallVec<[QuotaState; 1]>,
}

/// The state of a refill, for the checks that wait for it.
pub(super) enum RefillState {
    Pending,
    Done,
    Failed(BackendError),
}

/// The next step for a check: its own admission, or the way to get it.
pub(super) enum NextStep {
    /// The check is admitted: its cost in permits has been spent.
    Spent,
    /// The check has to wait for the refill that another check began.
    Wait(watch::Receiver<RefillState>),
    /// The check has to ask the store for its own cost alone.
    Ask,
    /// The check has to refill the lease.
    Refill(Refill),
}

/// A refill of a lease that the receiver of this value has to carry out.
pub(super) struct Refill {
    /// The number of units to ask the store for, including the check's cost.
    pub(super) units: u32,
    /// The key's epoch when the refill began.
    pub(super) epoch: u32,
    /// Notifies the checks that wait for the refill.
    pub(super) state: watch::Sender<RefillState>,
}

impl LeaseLimits {
    /// Returns the limits of a lease under `policy`.
    pub(super) fn of(self, policy: &Policy) -> Self {
        let shortest = policy.quotas().iter().map(Quota::period_micros).min().unwrap_or(0);
        let hold = self.hold.min(TimeSpan::from_micros(shortest / HOLD_SHARE));
        Self { max: policy.max_lease(self.max), hold }
    }
}

impl KeyLease {
    /// Creates the lease of a key, without permits, after `verdict` has admitted a check of `cost`.
    pub(super) fn new(now: Timestamp, cost: u32, limits: LeaseLimits, verdict: &Verdict) -> Self {
        let mut demand = Demand::default();
        demand.add(now, cost, limits.hold);
        let remaining = least_remaining(verdict.quotas());
        Self { grant: None, refill: None, demand, remaining, epoch: 0, return_scheduled: false }
    }

    /// Returns `true` if the removal of this lease would lose permits: it has some, or a refill is
    /// in progress.
    pub(super) fn is_in_use(&self) -> bool {
        self.grant.is_some() || self.refill.is_some()
    }

    /// Spends `cost` permits, if there are as many and the lease has not ended. Returns `true` if
    /// so, and writes the admission to `verdict`.
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

    /// Returns the next step for a check. Spends permits if there are enough, and otherwise selects
    /// between asking the store, refilling the lease and waiting for a refill.
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
        // The lease is rounded down to a multiple of the check's cost.
        let units = units - units % cost;
        if units <= cost {
            return NextStep::Ask;
        }
        let (state, refill) = watch::channel(RefillState::Pending);
        self.refill = Some(refill);
        NextStep::Refill(Refill { units, epoch: self.epoch, state })
    }

    /// Updates the remaining units from the store's answer to a single check.
    pub(super) fn update_remaining(&mut self, verdict: &Verdict) {
        self.remaining = least_remaining(verdict.quotas());
    }

    /// Ends a refill that began in `epoch`. Returns `false` if the store has lost its charge since
    /// then, by a reset.
    pub(super) fn end_refill(&mut self, epoch: u32) -> bool {
        self.refill = None;
        self.epoch == epoch
    }

    /// Returns `true` if there was no reset since `epoch`.
    pub(super) fn is_of(&self, epoch: u32) -> bool {
        self.epoch == epoch
    }

    /// Replaces the grant. Returns the former one if it has unspent permits, which have to be
    /// returned to the store.
    pub(super) fn replace_grant(&mut self, grant: Grant) -> Option<Grant> {
        self.remaining = least_remaining(&grant.quotas);
        self.grant.replace(grant).filter(|grant| grant.left > 0)
    }

    /// Puts spent permits back into the present grant, if they are from this grant and it has not
    /// ended. Returns `true` if it did so.
    pub(super) fn take_back(&mut self, refund: Settlement) -> bool {
        let (Settlement { now, charged_at, .. }, back) = (refund, refund.back());
        match &mut self.grant {
            Some(grant) if grant.stamp == charged_at && grant.is_live(now) => {
                // The refund may be of other units, charged in the same microsecond, so it can be
                // larger than the number of spent permits.
                let fits = grant.units - grant.left >= back;
                grant.left += if fits { back } else { 0 };
                fits
            }
            _ => false,
        }
    }

    /// Ends the lease. Returns its grant; `None` if no permits are unspent.
    pub(super) fn retire(&mut self) -> Option<Grant> {
        self.remaining = 0;
        self.grant.take().filter(|grant| grant.left > 0)
    }

    /// Drops the lease because a reset removes its charge from the store. Its unspent permits are
    /// neither spent nor returned.
    pub(super) fn forget(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.retire();
    }

    /// Returns the unspent permits if the lease has ended (`None` if there are none), or, as the
    /// error, the time at which the lease ends.
    pub(super) fn expire(&mut self, now: Timestamp) -> Result<Option<Grant>, Timestamp> {
        match &self.grant {
            Some(grant) if now < grant.until => Err(grant.until),
            _ => Ok(self.grant.take().filter(|grant| grant.left > 0)),
        }
    }

    /// Returns the refill in progress; `None` if there is none.
    pub(super) fn refill(&self) -> Option<watch::Receiver<RefillState>> {
        self.refill.clone()
    }
}

impl Grant {
    /// Creates the grant of `units` that `verdict` admitted, of which `left` are unspent. The store
    /// was asked for them at `asked`. They may be spent for `hold` from then on.
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

    /// Returns `true` if permits may be spent at `now`. The times are compared at each spending, so
    /// a process that was stopped for a while spends no permits of a lease that has ended. Returns
    /// `false` also if the clock was set back to before the lease.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.asked <= now && now < self.until
    }

    /// Writes an admission to `verdict`. The states of the quotas are those of the store's answer,
    /// with the unspent permits added to the remaining units.
    pub(super) fn write(&self, source: Source, verdict: &mut Verdict) {
        verdict.restart(Outcome::Allowed, self.stamp.micros());
        verdict.set_source(source);
        for state in &self.quotas {
            verdict.push(state.with_more(self.left));
        }
    }
}

/// Returns the remaining units of the quota with the fewest.
fn least_remaining(quotas: &[QuotaState]) -> u32 {
    quotas.iter().map(QuotaState::remaining).min().unwrap_or(0)
}

/// The units for which checks of a key asked recently, in intervals as long as a lease may be
/// spent.
#[derive(Default)]
struct Demand {
    /// The start of the present interval.
    since: Timestamp,
    units: u32,
    /// The units of the previous interval.
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

    /// Returns the number of units that were asked for in the present interval or the previous one,
    /// whichever is larger.
    fn per_hold(&self) -> u32 {
        self.units.max(self.before)
    }
}
