//! The state of one subject under one policy, and the decision about all its quotas at once.

use smallvec::{SmallVec, smallvec};

use super::ban_record::BanRecord;
use super::in_use::InUse;
use super::mode::Mode;
use super::translation::{ChargedUnder, Part, Translated, translate};
use super::{LAST_INSTANT, QuotaCheck, QuotaCounter, Settlement, Wait};
use crate::micros::{TimeSpan, Timestamp};
use crate::policy::MAX_QUOTAS;
use crate::verdict::Verdict;
use crate::{Check, Outcome, Policy, Quota, Settled};

/// The state of one subject under one policy: a counter for each quota, in the order of
/// declaration. The number and the kind of the counters depend on the policy. For a policy that has
/// another form, [`translated`](Self::translated) returns its counters.
#[derive(Clone, Debug)]
pub(crate) enum Counters {
    /// Most policies have one quota.
    One(QuotaCounter),
    Several(Box<[QuotaCounter]>),
    /// More than counters is known of the subject.
    Extended(Box<Extended>),
}

/// The state of a subject whose policy has had another form not long ago, or that was refused under
/// a policy with a ban.
#[derive(Clone, Debug)]
pub(crate) struct Extended {
    ban: BanRecord,
    counters: SmallVec<[QuotaCounter; 1]>,
    /// For each counter, [`Part::since`].
    since: [Timestamp; MAX_QUOTAS],
    aside: Vec<Part>,
    /// The time of the first change that is still remembered. From then on all parts have the
    /// charges of every form, unless [`Part::since`] says more. `None` if none is remembered.
    changed_at: Option<Timestamp>,
}

impl Extended {
    /// Charges a cost that the form in force has admitted to the parts that are set aside, and
    /// forgets those whose time is over.
    fn charge_along(&mut self, now: Timestamp, cost: u32) {
        self.aside.retain(|part| part.is_kept(now) && part.empty_at() > now);
        self.aside.iter_mut().for_each(|part| part.charge_along(now, cost));
    }
}

impl Counters {
    /// Creates the state of a subject without any charges.
    pub(crate) fn new(policy: &Policy) -> Self {
        let counter = || QuotaCounter::new(policy.get_algorithm());
        match policy.quotas().len() {
            1 => Self::One(counter()),
            count => Self::Several((0..count).map(|_| counter()).collect()),
        }
    }

    /// Decides about a check at `now`, and writes the result to `verdict`. With [`Mode::Charge`],
    /// charges the cost if every quota admits it; a refusal charges nothing.
    pub(crate) fn decide(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        self.decide_inline(check, now, mode, verdict);
    }

    /// Does the same as [`decide`](Self::decide), but is compiled into its caller. It is for the
    /// one caller that handles every check of a subject that is already stored.
    #[inline(always)]
    pub(crate) fn decide_inline(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        let now = now.min(LAST_INSTANT);
        let cost = check.cost;
        let charges = mode == Mode::Charge && cost > 0;
        match (self, check.policy.quotas()) {
            (Self::One(counter), [quota]) => {
                counter.decide(QuotaCheck { now, quota, cost }, charges, verdict);
            }
            (counters, _) => {
                counters.step_back_ban(now);
                let left = counters.ban().and_then(|ban| ban.left(now));
                let charges = charges && left.is_none();
                decide_all(counters.as_mut_slice(), check, now, charges, verdict);
                if let Some(span) = left {
                    verdict.set_outcome(Outcome::Banned { retry_after: span.to_duration() });
                } else if charges && verdict.is_allowed() {
                    counters.charge_aside(check, now);
                }
            }
        }
    }

    /// Charges an admitted check to the parts that are set aside. Forgets that the policy has
    /// changed, when nothing depends on that any more.
    fn charge_aside(&mut self, check: &Check<'_>, now: Timestamp) {
        let Self::Extended(extended) = self else { return };
        extended.charge_along(now, check.cost);
        let parts = parts_of(&extended.counters, &extended.since, check.policy);
        if !extended.aside.is_empty() || !parts.into_iter().all(|part| part.is_complete(now)) {
            return;
        }
        if extended.ban.empty_at() <= now {
            *self = Self::plain(std::mem::take(&mut extended.counters));
        } else {
            (extended.since, extended.changed_at) = ([Timestamp::EPOCH; MAX_QUOTAS], None);
        }
    }

    /// Moves the subject's bans back with the clock, if it was set back. A ban would otherwise end
    /// later than was told, once the clock has passed the time of its beginning again.
    pub(crate) fn step_back_ban(&mut self, now: Timestamp) {
        if let Self::Extended(extended) = self {
            extended.ban.step_back(now.min(LAST_INSTANT));
        }
    }

    fn ban(&self) -> Option<&BanRecord> {
        match self {
            Self::Extended(extended) => Some(&extended.ban),
            Self::One(_) | Self::Several(_) => None,
        }
    }

    /// Returns the record of the subject's refusals and bans, which may still have to be created.
    fn ban_mut(&mut self) -> &mut BanRecord {
        if !matches!(self, Self::Extended(_)) {
            let counters = match std::mem::replace(self, Self::Several(Box::default())) {
                Self::One(counter) => smallvec![counter],
                Self::Several(counters) => counters.into_vec().into(),
                Self::Extended(extended) => extended.counters,
            };
            *self = Self::Extended(Box::new(Extended {
                ban: BanRecord::default(),
                counters,
                since: [Timestamp::EPOCH; MAX_QUOTAS],
                aside: Vec::new(),
                changed_at: None,
            }));
        }
        match self {
            Self::Extended(extended) => &mut extended.ban,
            Self::One(_) | Self::Several(_) => unreachable!("it was extended above"),
        }
    }

    /// Counts the refusal of a check, if its policy has a ban. If it begins a ban, the verdict says
    /// so, and `true` is returned.
    #[cold]
    pub(crate) fn count_refusal(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> bool {
        let now = now.min(LAST_INSTANT);
        let Some(rule) = policy.counted_ban() else { return false };
        let ban = self.ban_mut();
        ban.refuse(rule, policy.quotas(), now);
        let Some(span) = ban.left(now) else { return false };
        verdict.set_outcome(Outcome::Banned { retry_after: span.to_duration() });
        true
    }

    /// Bans the subject for `span`, unless a ban is in force that ends later. Returns the end of the
    /// ban.
    pub(crate) fn set_ban(&mut self, now: Timestamp, span: TimeSpan) -> Timestamp {
        let now = now.min(LAST_INSTANT);
        let ban = self.ban_mut();
        ban.ban(now, span);
        ban.left(now).map_or(now, |left| now + left)
    }

    /// Ends the ban of the subject. Returns `true` if there was one.
    pub(crate) fn lift_ban(&mut self, now: Timestamp) -> bool {
        match self {
            Self::Extended(extended) => extended.ban.lift(now.min(LAST_INSTANT)),
            Self::One(_) | Self::Several(_) => false,
        }
    }

    /// Forgets the refusals that are counted, and the bans before the one in force.
    pub(crate) fn forgive(&mut self, now: Timestamp) {
        if let Self::Extended(extended) = self {
            extended.ban.forgive(now.min(LAST_INSTANT));
        }
    }

    /// Returns the end of the ban in force; `None` if there is none.
    pub(crate) fn banned_until(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.min(LAST_INSTANT);
        Some(now + self.ban()?.left(now)?)
    }

    fn plain(counters: SmallVec<[QuotaCounter; 1]>) -> Self {
        match <[QuotaCounter; 1]>::try_from(counters.into_vec()) {
            Ok([counter]) => Self::One(counter),
            Err(counters) => Self::Several(counters.into()),
        }
    }

    /// Records a charge that another store has admitted. Each quota is charged as much of the cost
    /// as it can hold, independently of the other quotas. A log that is full forgets its oldest units
    /// for it, because those leave first.
    pub(crate) fn record(&mut self, policy: &Policy, now: Timestamp, cost: u32) {
        let now = now.min(LAST_INSTANT);
        for (counter, quota) in self.as_mut_slice().iter_mut().zip(policy.quotas()) {
            counter.advance(now, quota);
            let (capacity, used) = (quota.capacity(), counter.used(now, quota));
            if let QuotaCounter::SlidingWindow(window) = counter {
                let beyond = used.saturating_add(cost.min(capacity)).saturating_sub(capacity);
                window.forget_oldest(beyond);
            }
            let room = capacity - counter.used(now, quota).min(capacity);
            if room > 0 && cost > 0 {
                counter.charge(now, quota, cost.min(room));
            }
        }
        if let Self::Extended(extended) = self {
            extended.charge_along(now, cost);
        }
    }

    /// Settles a charge that `charged_under` admitted, in every part. `policy` is the form in force,
    /// which may be another, and stays.
    pub(crate) fn settle(
        &mut self,
        policy: &Policy,
        charged_under: &Policy,
        settlement: Settlement,
    ) -> Settled {
        let settlement = Settlement { now: settlement.now.min(LAST_INSTANT), ..settlement };
        if settlement.debt() > 0 {
            self.charge_debt(policy, settlement.now, settlement.debt());
            Settled::Charged
        } else if settlement.back() == 0 {
            Settled::Unchanged
        } else if self.refund(policy, charged_under, settlement) {
            Settled::Refunded
        } else {
            Settled::Nothing
        }
    }

    /// Charges units that a request took without having been admitted for them.
    fn charge_debt(&mut self, policy: &Policy, now: Timestamp, units: u32) {
        for (counter, quota) in self.as_mut_slice().iter_mut().zip(policy.quotas()) {
            counter.advance(now, quota);
            counter.charge_debt(now, quota, units);
        }
        if let Self::Extended(extended) = self {
            extended.aside.retain(|part| part.is_kept(now) && part.empty_at() > now);
            extended.aside.iter_mut().for_each(|part| part.charge_debt(now, units));
        }
    }

    /// Gives back what is too much of a charge that `charged_under` admitted, in every part in which
    /// it is still in use. Returns `true` if any part gave it back.
    fn refund(&mut self, policy: &Policy, charged_under: &Policy, refund: Settlement) -> bool {
        let now = refund.now;
        let (since, all_since) = match self {
            Self::Extended(extended) => (extended.since, extended.changed_at),
            Self::One(_) | Self::Several(_) => ([Timestamp::EPOCH; MAX_QUOTAS], None),
        };
        let charged_under = ChargedUnder { policy: charged_under, all_since };
        let mut any = false;
        let counters = self.as_mut_slice().iter_mut().zip(policy.quotas());
        for ((counter, quota), since) in counters.zip(since) {
            counter.advance(now, quota);
            any |= charged_under.refund(counter, quota, since, refund);
        }
        if let Self::Extended(extended) = self {
            for part in &mut extended.aside {
                part.counter.advance(now, &part.quota);
                any |= charged_under.refund(&mut part.counter, &part.quota, part.since, refund);
            }
        }
        any
    }

    /// Returns the time from which on no units are in use, so that this state equals that of a
    /// subject without any charges.
    pub(crate) fn empty_at(&self, policy: &Policy) -> Timestamp {
        let ban = self.ban().map(BanRecord::empty_at).unwrap_or_default();
        self.no_units_from(policy).max(ban)
    }

    /// Returns the time from which on no units are in use, whatever is known of refusals and bans.
    pub(crate) fn no_units_from(&self, policy: &Policy) -> Timestamp {
        let counters = self.as_slice().iter().zip(policy.quotas());
        let form = counters.map(|(counter, quota)| counter.empty_at(quota)).max();
        let aside = self.aside().iter().map(Part::empty_at).max();
        form.max(aside).unwrap_or_default()
    }

    /// Gives a state without units in use the form of `policy`. The record of refusals and bans stays.
    pub(crate) fn renew(&mut self, policy: &Policy) {
        let ban = self.ban().copied();
        *self = Self::new(policy);
        if let Some(ban) = ban {
            *self.ban_mut() = ban;
        }
    }

    /// Returns the units in use. `waiting` is the smallest cost that counts as waiting.
    pub(crate) fn usage(&mut self, policy: &Policy, now: Timestamp, waiting: u32) -> InUse {
        let refuses = self.banned_until(now).is_some();
        let mut usage = InUse { refuses, ..InUse::default() };
        for (counter, quota) in self.as_mut_slice().iter_mut().zip(policy.quotas()) {
            counter.advance(now, quota);
            let one = InUse::of(counter.used(now, quota), quota, counter.wait(now, quota, waiting));
            usage.units = usage.units.max(one.units);
            usage.share = usage.share.max(one.share);
            usage.refuses |= one.refuses;
        }
        if let Self::Extended(extended) = self {
            for part in &mut extended.aside {
                part.counter.advance(now, &part.quota);
                usage.units = usage.units.max(part.counter.used(now, &part.quota));
            }
        }
        usage
    }

    /// Returns the state that a charge under `policy` starts from. `former` is the form in force,
    /// and has other quotas or another algorithm. This state does not change.
    pub(crate) fn translated(&self, former: &Policy, policy: &Policy, now: Timestamp) -> Self {
        let now = now.min(LAST_INSTANT);
        let (since, changed_at, ban) = match self {
            Self::Extended(extended) => (extended.since, extended.changed_at, extended.ban),
            Self::One(_) | Self::Several(_) => {
                ([Timestamp::EPOCH; MAX_QUOTAS], None, BanRecord::default())
            }
        };
        let mut parts = parts_of(self.as_slice(), &since, former);
        parts.extend(self.aside().iter().cloned());
        let Translated { parts, aside, was_empty } = translate(&parts, policy, now);
        let mut since = [Timestamp::EPOCH; MAX_QUOTAS];
        let mut is_changed = !aside.is_empty();
        let mut counters = SmallVec::new();
        for (part, since) in parts.into_iter().zip(&mut since) {
            if !part.is_complete(now) {
                *since = part.since;
                is_changed = true;
            }
            counters.push(part.counter);
        }
        if is_changed || ban.empty_at() > now {
            let since_then = if was_empty { now } else { changed_at.unwrap_or(now) };
            let changed_at = is_changed.then_some(since_then);
            Self::Extended(Box::new(Extended { ban, counters, since, aside, changed_at }))
        } else {
            Self::plain(counters)
        }
    }

    fn aside(&self) -> &[Part] {
        match self {
            Self::Extended(extended) => &extended.aside,
            Self::One(_) | Self::Several(_) => &[],
        }
    }

    fn as_slice(&self) -> &[QuotaCounter] {
        match self {
            Self::One(counter) => std::slice::from_ref(counter),
            Self::Several(counters) => counters,
            Self::Extended(extended) => &extended.counters,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [QuotaCounter] {
        match self {
            Self::One(counter) => std::slice::from_mut(counter),
            Self::Several(counters) => counters,
            Self::Extended(extended) => &mut extended.counters,
        }
    }
}

/// Returns the counters of the form in force, each with its quota.
fn parts_of(
    counters: &[QuotaCounter],
    since: &[Timestamp; MAX_QUOTAS],
    policy: &Policy,
) -> SmallVec<[Part; MAX_QUOTAS]> {
    let counters = counters.iter().zip(policy.quotas()).zip(since);
    let part = |((counter, quota), since): ((&QuotaCounter, &Quota), &Timestamp)| Part {
        quota: *quota,
        counter: counter.clone(),
        since: *since,
        until: Timestamp::EPOCH,
    };
    counters.map(part).collect()
}

/// Decides a check under several quotas. If `charges` is `true` and all of them admit the cost, it
/// is charged to all; otherwise to none.
fn decide_all(
    counters: &mut [QuotaCounter],
    check: &Check<'_>,
    now: Timestamp,
    charges: bool,
    verdict: &mut Verdict,
) {
    let (quotas, cost) = (check.policy.quotas(), check.cost);
    let mut waits = [Wait::None; MAX_QUOTAS];
    let mut longest = Wait::None;
    for ((counter, quota), wait) in counters.iter_mut().zip(quotas).zip(&mut waits) {
        counter.advance(now, quota);
        *wait = counter.wait(now, quota, cost);
        longest = longest.max(*wait);
    }
    verdict.restart(longest.into(), now.micros());
    for ((counter, quota), wait) in counters.iter_mut().zip(quotas).zip(&waits) {
        if charges && longest == Wait::None {
            counter.charge(now, quota, cost);
        }
        verdict.push(counter.state(QuotaCheck { now, quota, cost }, *wait));
    }
}
