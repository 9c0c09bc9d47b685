//! The record of the policies that have counted a request, so that none counts it again.
//!
//! The record is among the request's extensions, where it costs as much as a tenth of a check. So a
//! limit leaves it only as long as other limits of the same policy may stand behind it: for its
//! first requests, and for ever if one of them has met another such limit. If a request meets one
//! for the first time later than that, it is counted twice, and the next one is not.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use axum::http::Extensions;
use axum::response::Response;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::{Check, Limiter, Policy};

/// `true` if the program has a layer. Without layers, a request meets a policy only once.
static HAS_LAYERS: AtomicBool = AtomicBool::new(false);

/// Records that the program has a layer.
pub(super) fn set_has_layers() {
    HAS_LAYERS.store(true, Ordering::Relaxed);
}

#[inline]
pub(super) fn has_layers() -> bool {
    HAS_LAYERS.load(Ordering::Relaxed)
}

/// A set of policies. Each is represented by one of 64 bits, which follows from its name. Policies
/// with the same bit are taken for one, which costs time and changes no count.
#[derive(Clone, Copy)]
pub(super) struct Policies(u64);

/// The policies that a request has been found to meet more than once.
static REPEATED: AtomicU64 = AtomicU64::new(0);

/// The number of requests that each bit's policies have counted, up to [`FIRST`].
static COUNTED: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];

/// The number of first requests that are recorded in any case.
const FIRST: u32 = 256;

thread_local! {
    /// The policies of the layers whose inner services are running on this thread.
    static RUNNING: Cell<u64> = const { Cell::new(0) };
}

impl Policies {
    #[inline]
    pub(super) fn of(policy: &Policy) -> Self {
        Self(1 << (policy.name_hash() % 64))
    }

    /// Returns `true` if the count of a request has to be recorded for other limits.
    #[inline]
    fn needs_record(self) -> bool {
        let counted = &COUNTED[self.0.trailing_zeros() as usize % 64];
        REPEATED.load(Ordering::Relaxed) & self.0 != 0
            || counted.load(Ordering::Relaxed) < FIRST && {
                counted.fetch_add(1, Ordering::Relaxed);
                true
            }
    }

    fn set_repeated(self) {
        REPEATED.fetch_or(self.0, Ordering::Relaxed);
    }

    /// Calls `function`, which runs the service inside of a layer.
    #[inline]
    pub(super) fn run<T>(self, function: impl FnOnce() -> T) -> T {
        let _restore = Restore(RUNNING.get());
        RUNNING.set(RUNNING.get() | self.0);
        function()
    }
}

/// Restores the set of running policies when it is dropped, also by a panic.
struct Restore(u64);

impl Drop for Restore {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

/// The identity of a count: the hash of the limiter, the policy's name and the subject. The hash has
/// a random key, so that no client can choose subjects that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CountId(u64);

impl CountId {
    pub(super) fn of(limiter: &Limiter, check: &Check<'_>) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        let Check { policy, subject, .. } = *check;
        Self(std::hash::BuildHasher::hash_one(
            &*HASHER,
            (limiter.id(), policy.name_hash(), subject),
        ))
    }
}

/// The counts of one request so far, among the request's extensions. Most requests have one.
#[derive(Clone, Debug)]
struct Counts {
    first: (CountId, u32),
    others: Vec<(CountId, u32)>,
}

/// The cost of a request for one limit.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// The units to charge: the cost, less the units that earlier limits have charged.
    pub(super) units: u32,
    /// The count after this charge; `None` if no other limit needs it.
    pub(super) count: Option<Count>,
}

/// The count of a request under one identity.
#[derive(Clone, Copy)]
pub(super) struct Count {
    pub(super) id: CountId,
    /// `true` if an earlier limit has checked the request under the same identity.
    pub(super) is_again: bool,
    /// The units that have been charged in all.
    cost: u32,
}

impl Cost {
    /// Returns the cost of a check, less what earlier limits have charged for the same policy and
    /// subject. Returns `None` if they have charged all of it. `records` is `true` if other limits
    /// may check the request after this one.
    #[inline]
    pub(super) fn of(
        check: &Check<'_>,
        limiter: &Limiter,
        extensions: &Extensions,
        records: bool,
    ) -> Option<Self> {
        let full = Self { units: check.cost, count: None };
        if !has_layers() && !records {
            return Some(full);
        }
        let policies = Policies::of(check.policy);
        let records = records && policies.needs_record();
        if !records && (RUNNING.get() | REPEATED.load(Ordering::Relaxed)) & policies.0 == 0 {
            return Some(full);
        }
        Self::after_others(check, limiter, extensions, records)
    }

    fn after_others(
        check: &Check<'_>,
        limiter: &Limiter,
        extensions: &Extensions,
        records: bool,
    ) -> Option<Self> {
        let policies = Policies::of(check.policy);
        if RUNNING.get() & policies.0 != 0 {
            policies.set_repeated();
        }
        let id = CountId::of(limiter, check);
        let before = charged(extensions, id);
        if before.is_some() {
            policies.set_repeated();
        }
        // Without quotas there are no units, and the first limit has the request's permit.
        let has_quotas = !check.policy.quotas().is_empty();
        if before.is_some_and(|before| before >= check.cost || !has_quotas) {
            return None;
        }
        let (units, is_again) = (check.cost - before.unwrap_or(0), before.is_some());
        let count = (records || is_again).then_some(Count { id, is_again, cost: check.cost });
        Some(Self { units, count })
    }
}

impl Cost {
    /// Returns the policy by which to charge a request that an earlier limit has counted, if that holds
    /// a permit for it already; `None` if the policy is the one in effect.
    pub(super) fn without_permit(&self, policy: &Policy) -> Option<Policy> {
        let is_again = self.count.is_some_and(|count| count.is_again);
        (is_again && policy.get_in_flight().is_some()).then(|| policy.clone().without_in_flight())
    }
}

impl Count {
    /// Records the count among the request's extensions, for the limits behind this one.
    pub(super) fn record(self, extensions: &mut Extensions) {
        let count = (self.id, self.cost);
        let first = Counts { first: count, others: Vec::new() };
        let Some(mut before) = extensions.insert(first) else { return };
        let Counts { first, others } = &mut before;
        match std::iter::once(first).chain(&mut *others).find(|(id, _)| *id == self.id) {
            Some(same) => *same = count,
            None => others.push(count),
        }
        extensions.insert(before);
    }
}

/// Returns the units that have been charged for the request under this identity; `None` if no limit
/// has checked it under this identity.
fn charged(extensions: &Extensions, id: CountId) -> Option<u32> {
    let Counts { first, others } = extensions.get()?;
    let mut counts = std::iter::once(first).chain(others);
    counts.find(|(counted, _)| *counted == id).map(|(_, cost)| *cost)
}

/// The identities of the counts that a response describes already, although another limit has made
/// the first charge.
#[derive(Clone, Debug, Default)]
struct Described(SmallVec<[CountId; 1]>);

/// Records that the response describes this count, so that the limit that has made the first charge
/// does not describe it again.
pub(super) fn set_described(response: &mut Response, id: CountId) {
    response.extensions_mut().get_or_insert_default::<Described>().0.push(id);
}

/// Returns `true` if the response describes this count.
pub(super) fn is_described(response: &Response, id: CountId) -> bool {
    response.extensions().get().is_some_and(|Described(ids)| ids.contains(&id))
}
