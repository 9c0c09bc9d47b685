//! One key's lease: what is left of it, and when and how much to lease.

use smallvec::SmallVec;
use tokio::sync::watch;

use crate::Verdict;
use crate::algorithm::Micros;
use crate::{BackendError, Outcome, Policy, Quota, QuotaState, Source};

/// A lease takes at most one in so many of what remains. Near the limit that is less than
/// two, and then every check asks the store.
const SHARE: u32 = 4;
/// A lease is held for at most one in so many of the shortest period.
const HOLD_SHARE: u64 = 10;

/// What is known of a key that has been admitted.
pub(super) struct Account {
    grant: Option<Grant>,
    refill: Option<watch::Receiver<Landing>>,
    demand: Demand,
    /// What the store said last that remains.
    remaining: u32,
    /// Changes when the store forgets what was charged until then.
    era: u32,
    /// Whether somebody will look for what is left when its time is over.
    pub(super) watched: bool,
}

/// What a limiter allows.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// The most permits of one lease.
    pub(super) max: u32,
    pub(super) hold: Micros,
}

/// A charge of several units, and what is left of them.
pub(super) struct Grant {
    pub(super) stamp: Micros,
    units: u32,
    pub(super) left: u32,
    /// When it was asked for, and when it is over, on the local clock.
    asked: Micros,
    pub(super) until: Micros,
    /// What the store said then: the units are in it.
    quotas: SmallVec<[QuotaState; 1]>,
}

/// How a refill ended.
pub(super) enum Landing {
    /// It has not.
    Pending,
    Landed,
    Failed(BackendError),
}

/// What to do about a check.
pub(super) enum Next {
    /// It is admitted.
    Spent,
    /// Somebody else brings permits.
    Wait(watch::Receiver<Landing>),
    /// Ask the store for it alone.
    Ask,
    /// Bring permits.
    Refill(Refill),
}

/// What is to be done by who brings permits.
pub(super) struct Refill {
    /// To ask the store for, the check's cost among them.
    pub(super) units: u32,
    /// When it began.
    pub(super) era: u32,
    /// To tell those who wait.
    pub(super) landing: watch::Sender<Landing>,
}

impl Terms {
    /// The terms for a policy.
    pub(super) fn of(self, policy: &Policy) -> Self {
        let shortest = policy.quotas().iter().map(Quota::period_micros).min().unwrap_or(0);
        Self { max: policy.max_lease(self.max), hold: self.hold.min(shortest / HOLD_SHARE) }
    }
}

impl Account {
    /// Of a key that was admitted as `verdict` says.
    pub(super) fn new(now: Micros, cost: u32, terms: Terms, verdict: &Verdict) -> Self {
        let mut demand = Demand::default();
        demand.note(now, cost, terms.hold);
        let remaining = least(verdict.quotas());
        Self { grant: None, refill: None, demand, remaining, era: 0, watched: false }
    }

    /// Whether permits would be lost with it.
    pub(super) fn is_needed(&self) -> bool {
        self.grant.is_some() || self.refill.is_some()
    }

    /// Takes `cost` from what is leased, if that is enough and its time is not over.
    #[inline]
    pub(super) fn spend(
        &mut self,
        cost: u32,
        now: Micros,
        terms: Terms,
        verdict: &mut Verdict,
    ) -> bool {
        let Some(grant) = &mut self.grant else { return false };
        if cost == 0 || grant.left < cost || !grant.is_live(now) {
            return false;
        }
        grant.left -= cost;
        grant.say(Source::Lease, verdict);
        self.demand.note(now, cost, terms.hold);
        true
    }

    /// What to do about a check that is not answered otherwise.
    pub(super) fn next(
        &mut self,
        cost: u32,
        now: Micros,
        terms: Terms,
        verdict: &mut Verdict,
    ) -> Next {
        if self.spend(cost, now, terms, verdict) {
            return Next::Spent;
        }
        if cost == 0 {
            return Next::Ask;
        }
        if let Some(refill) = &self.refill {
            // Unless the one who brings it is gone, and so its runtime.
            if refill.has_changed().is_ok() {
                return Next::Wait(refill.clone());
            }
            self.refill = None;
        }
        self.demand.note(now, cost, terms.hold);
        let units = (self.demand.in_a_hold() / 2).min(terms.max).min(self.remaining / SHARE);
        // For as many checks of this cost as there are whole.
        let units = units - units % cost;
        if units <= cost {
            return Next::Ask;
        }
        let (landing, refill) = watch::channel(Landing::Pending);
        self.refill = Some(refill);
        Next::Refill(Refill { units, era: self.era, landing })
    }

    /// Notes what the store said to a check for itself alone.
    pub(super) fn note(&mut self, verdict: &Verdict) {
        self.remaining = least(verdict.quotas());
    }

    /// Ends a refill that began in `era`, and says whether the store still knows what it brought.
    pub(super) fn land(&mut self, era: u32) -> bool {
        self.refill = None;
        self.era == era
    }

    /// Takes in what a refill brought. What is left of the grant before is to be given back.
    pub(super) fn put(&mut self, grant: Grant) -> Option<Grant> {
        self.remaining = least(&grant.quotas);
        self.grant.replace(grant).filter(|grant| grant.left > 0)
    }

    /// Takes back what was spent of a grant that still can be.
    pub(super) fn take_back(&mut self, stamp: Micros, cost: u32, now: Micros) -> bool {
        match &mut self.grant {
            Some(grant) if grant.stamp == stamp && grant.is_live(now) => {
                // Units that were not of this grant, though charged in the same microsecond.
                let fits = grant.units - grant.left >= cost;
                grant.left += if fits { cost } else { 0 };
                fits
            }
            _ => false,
        }
    }

    /// What is left, which is no longer to be spent.
    pub(super) fn retire(&mut self) -> Option<Grant> {
        self.remaining = 0;
        self.grant.take().filter(|grant| grant.left > 0)
    }

    /// The store forgets what was leased, so it is neither to be spent nor to be given back.
    pub(super) fn forget(&mut self) {
        self.era = self.era.wrapping_add(1);
        self.retire();
    }

    /// What is left when its time is over; else when that will be.
    pub(super) fn expire(&mut self, now: Micros) -> Result<Option<Grant>, Micros> {
        match &self.grant {
            Some(grant) if now < grant.until => Err(grant.until),
            _ => Ok(self.grant.take().filter(|grant| grant.left > 0)),
        }
    }

    /// The refill that is under way.
    pub(super) fn refill(&self) -> Option<watch::Receiver<Landing>> {
        self.refill.clone()
    }
}

impl Grant {
    /// Of `units`, as `verdict` admitted them, `left` are left.
    pub(super) fn new(
        units: u32,
        left: u32,
        asked: Micros,
        hold: Micros,
        verdict: &Verdict,
    ) -> Self {
        Self {
            stamp: verdict.stamp_micros(),
            units,
            left,
            asked,
            until: asked.saturating_add(hold),
            quotas: verdict.quotas().into(),
        }
    }

    /// Also when the process has been stopped since. A clock that has gone back says nothing.
    pub(super) fn is_live(&self, now: Micros) -> bool {
        self.asked <= now && now < self.until
    }

    /// Says how the quotas stood when this was granted, less what has been spent of it.
    pub(super) fn say(&self, source: Source, verdict: &mut Verdict) {
        verdict.restart(Outcome::Allowed, self.stamp);
        verdict.set_source(source);
        for state in &self.quotas {
            verdict.push(state.with_more(self.left));
        }
    }
}

/// What remains of the tightest quota.
fn least(quotas: &[QuotaState]) -> u32 {
    quotas.iter().map(QuotaState::remaining).min().unwrap_or(0)
}

/// How much has been asked for lately.
#[derive(Default)]
struct Demand {
    since: Micros,
    units: u32,
    /// In the span before.
    before: u32,
}

impl Demand {
    #[inline]
    fn note(&mut self, now: Micros, cost: u32, hold: Micros) {
        match now.checked_sub(self.since) {
            Some(elapsed) if elapsed < hold => {}
            Some(elapsed) if elapsed < hold.saturating_mul(2) => {
                *self = Self { since: self.since + hold, units: 0, before: self.units };
            }
            _ => *self = Self { since: now, units: 0, before: 0 },
        }
        self.units = self.units.saturating_add(cost);
    }

    /// In as long a time as a lease is held.
    fn in_a_hold(&self) -> u32 {
        self.units.max(self.before)
    }
}
