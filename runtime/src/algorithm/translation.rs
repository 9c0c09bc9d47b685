//! The translation of state that meets another form of its policy: other quotas, or another
//! algorithm.
//!
//! A form is an algorithm with quotas. The state of each quota, a part, belongs to the quotas of
//! its period and kind, in whatever place of the policy they stand; a part of a bucket belongs to
//! one limit and burst, too, because it is a level in time. A quota that has no part yet gets one
//! by the admissions that are known from another part. A part whose quota the new form lacks is set
//! aside until it would have been empty; a bucket for a period at least. Meanwhile it takes all
//! charges, so that it is right when its form comes back.
//!
//! Nothing is changed by the translation itself. Only a charge stores its result.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{QuotaCounter, Settlement};
use crate::micros::Timestamp;
use crate::policy::MAX_QUOTAS;
use crate::{Algorithm, Policy, Quota};

/// The largest number of parts that are set aside.
const MAX_ASIDE: usize = 4;

/// The state of one quota, with all that is needed to use it under another form.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) quota: Quota,
    pub(super) counter: QuotaCounter,
    /// The part may lack charges up to and including this time, so it refunds none of them. It is
    /// the epoch if the part has them all.
    pub(super) since: Timestamp,
    /// The time from which on a charge forgets the part, if it is set aside: when it would have been
    /// empty without the charges of other forms, or later. It is the epoch if the part is in force.
    pub(super) until: Timestamp,
}

/// The parts of a form, in the order of its quotas, and those that are set aside.
pub(super) struct Translated {
    pub(super) parts: SmallVec<[Part; MAX_QUOTAS]>,
    pub(super) aside: Vec<Part>,
    /// No part had any units in use, so all the charges that were known before may be forgotten.
    pub(super) was_empty: bool,
}

/// Translates `parts`, those of the form in force before those that are set aside, to the form of
/// `policy`.
pub(super) fn translate(parts: &[Part], policy: &Policy, now: Timestamp) -> Translated {
    let algorithm = policy.get_algorithm();
    let known = parts.iter().filter_map(|part| part.at(now));
    let was_empty = parts.iter().all(|part| part.empty_at() <= now);
    let serving = |quota: &Quota| parts.iter().find(|part| part.serves(algorithm, quota));
    let translated = policy.quotas().iter().map(|quota| match serving(quota) {
        // Under a lower limit, a debt that is worked off would not be.
        Some(Part { since, .. }) if was_empty => {
            Part { since: *since, ..derived(None, algorithm, quota, now) }
        }
        Some(part) => Part { quota: *quota, until: Timestamp::EPOCH, ..part.coalesced() },
        None if was_empty => derived(None, algorithm, quota, now),
        None => derived(source(parts, algorithm, quota), algorithm, quota, now),
    });
    let translated: SmallVec<[Part; MAX_QUOTAS]> = translated.collect();
    let mut aside: Vec<Part> = Vec::new();
    for part in known {
        let is_new = |others: &[Part]| others.iter().all(|other| !other.is_like(&part));
        if is_new(&translated) && is_new(&aside) {
            aside.push(part);
        }
    }
    while aside.len() > MAX_ASIDE {
        let least = aside.iter().enumerate().min_by_key(|(_, part)| part.units());
        let least = least.map_or(0, |(index, _)| index);
        aside.remove(least);
    }
    Translated { parts: translated, aside, was_empty }
}

/// Returns the part from which the part of a new quota is derived. A log that knows the whole period
/// of the quota has the time of each admission, so it is the first choice. Otherwise it is the part
/// with the shortest of the periods that contain the quota's, or, if there is none, with the
/// longest. Of several, it is the one that is in use for the longest time; for a bucket the one that
/// fills it most, because a small bucket that is set aside may have lacked room for what others
/// admitted.
///
/// The choice does not depend on the present time: it would be another one once a part is empty,
/// and then a wait that was told would not be the last.
fn source<'a>(parts: &'a [Part], algorithm: Algorithm, quota: &Quota) -> Option<&'a Part> {
    let preference = |part: &Part| {
        let period = part.quota.period_micros();
        let covers = period >= quota.period_micros();
        let is_log = matches!(part.counter, QuotaCounter::SlidingWindow(_));
        let nearness = if covers { u64::MAX - period } else { period };
        (covers, covers && is_log, nearness, is_log)
    };
    let use_until = |part: &Part| match algorithm.has_bucket() {
        true => derived(Some(part), algorithm, quota, Timestamp::EPOCH).empty_at(),
        false => part.empty_at(),
    };
    // Of equal ones, the first is taken.
    parts.iter().reduce(|best, part| {
        let order = preference(part).cmp(&preference(best));
        match order.then_with(|| use_until(part).cmp(&use_until(best))) {
            Ordering::Greater => part,
            Ordering::Less | Ordering::Equal => best,
        }
    })
}

fn derived(source: Option<&Part>, algorithm: Algorithm, quota: &Quota, now: Timestamp) -> Part {
    let mut counter = QuotaCounter::new(algorithm);
    // A subject without any charges has none that this part could lack.
    let mut since = Timestamp::EPOCH;
    if let Some(part) = source {
        since = now;
        let is_log = |counter: &QuotaCounter| matches!(counter, QuotaCounter::SlidingWindow(_));
        let to_log = is_log(&counter);
        for (at, units) in part.counter.admissions(&part.quota) {
            // What has expired under the new quota is not charged to its log.
            if units > 0 && (!to_log || at + quota.period_span() > now) {
                if !to_log {
                    counter.advance(at, quota);
                }
                counter.charge_beyond(at, quota, units);
            }
        }
        if to_log && is_log(&part.counter) {
            since = part.since;
        }
    }
    Part { quota: *quota, counter, since, until: Timestamp::EPOCH }
}

impl Part {
    /// Returns `true` if the part is of the form in force, or its time aside is not over at `now`.
    /// A part whose time is over is forgotten by the next charge.
    pub(super) fn is_kept(&self, now: Timestamp) -> bool {
        self.until == Timestamp::EPOCH || self.until > now
    }

    /// Returns the part with the time until which it is set aside, if its form is left at `now`;
    /// `None` if no units are in use.
    ///
    /// A bucket stays for at least one period. The bucket of another form may be too small to know
    /// all that both have admitted, so no window may have admissions of this one and of one that is
    /// derived from the other.
    fn at(&self, now: Timestamp) -> Option<Self> {
        let empty_at = self.empty_at();
        let until = match &self.counter {
            _ if self.until != Timestamp::EPOCH => self.until,
            QuotaCounter::Bucket(_) => empty_at.max(now.saturating_add(self.quota.period_span())),
            _ => empty_at,
        };
        (empty_at > now && until > now).then(|| Self { until, ..self.coalesced() })
    }

    /// Returns a copy in the shape that the state of a quota has under any limit.
    fn coalesced(&self) -> Self {
        let mut part = self.clone();
        if let QuotaCounter::SlidingWindow(log) = &mut part.counter {
            log.coalesce();
        }
        part
    }

    /// Returns `true` if this part is the state of `quota` under `algorithm`.
    fn serves(&self, algorithm: Algorithm, quota: &Quota) -> bool {
        serves(&self.counter, &self.quota, algorithm, quota)
    }

    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.counter) == std::mem::discriminant(&other.counter)
            && self.quota.has_period_of(&other.quota)
            && (!matches!(self.counter, QuotaCounter::Bucket(_))
                || self.quota.is_kept_like(&other.quota))
    }

    pub(super) fn empty_at(&self) -> Timestamp {
        self.counter.empty_at(&self.quota)
    }

    fn units(&self) -> u64 {
        let admissions = self.counter.admissions(&self.quota);
        admissions.iter().map(|(_, units)| u64::from(*units)).sum()
    }

    /// Charges units that the form in force has admitted.
    pub(super) fn charge_along(&mut self, now: Timestamp, cost: u32) {
        self.counter.advance(now, &self.quota);
        if self.counter.charge_beyond(now, &self.quota, cost) {
            self.since = now;
        }
    }

    /// Charges units that a request took without having been admitted for them.
    pub(super) fn charge_debt(&mut self, now: Timestamp, units: u32) {
        self.counter.advance(now, &self.quota);
        self.counter.charge_debt(now, &self.quota, units);
    }

    /// Returns `true` if the part lacks no charge that can still be in use at `now`.
    pub(super) fn is_complete(&self, now: Timestamp) -> bool {
        self.since == Timestamp::EPOCH
            || self.since.saturating_add(self.counter.longest_use(&self.quota)) <= now
    }
}

/// Returns `true` if `counter`, which follows the quota `own`, is the state of `quota` under
/// `algorithm`.
fn serves(counter: &QuotaCounter, own: &Quota, algorithm: Algorithm, quota: &Quota) -> bool {
    counter.serves(algorithm)
        && own.has_period_of(quota)
        && (!algorithm.has_bucket() || own.is_kept_like(quota))
}

/// The form that admitted a charge, and the time from which on all parts have the charges of every
/// form.
///
/// A subject without any units in use is forgotten, so a part may be newer than a charge of another
/// form that was in use for a shorter time than the part's own period. Such a charge must not be
/// refunded from it.
pub(super) struct ChargedUnder<'a> {
    pub(super) policy: &'a Policy,
    pub(super) all_since: Option<Timestamp>,
}

impl ChargedUnder<'_> {
    /// Refunds a charge from a part, in so far as the part is known to have it. Returns `true` if
    /// anything was refunded.
    pub(super) fn refund(
        &self,
        counter: &mut QuotaCounter,
        quota: &Quota,
        since: Timestamp,
        refund: Settlement,
    ) -> bool {
        if since != Timestamp::EPOCH {
            return since < refund.charged_at && counter.refund(quota, refund);
        }
        let algorithm = self.policy.get_algorithm();
        let mut quotas = self.policy.quotas().iter();
        if self.all_since.is_some_and(|since| since <= refund.charged_at)
            || quotas.any(|other| serves(counter, quota, algorithm, other))
        {
            return counter.refund(quota, refund);
        }
        match counter {
            // An entry tells by its time which charge it is.
            QuotaCounter::SlidingWindow(log) => log.refund_exact(quota, refund),
            _ => false,
        }
    }
}
