//! The record of the policies that have counted a request, so that none counts it again.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Extensions;
use axum::response::Response;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::{Check, Limiter};

/// `true` if the program has a layer. Without layers, a request meets a policy only once.
static HAS_LAYERS: AtomicBool = AtomicBool::new(false);

/// Records that the program has a layer.
pub(super) fn set_has_layers() {
    HAS_LAYERS.store(true, Ordering::Relaxed);
}

pub(super) fn has_layers() -> bool {
    HAS_LAYERS.load(Ordering::Relaxed)
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

/// The counts of one request so far, among the request's extensions.
#[derive(Clone, Debug, Default)]
struct Counts(SmallVec<[(CountId, u32); 2]>);

/// Returns the units that have been charged for the request under this identity; `None` if no limit
/// has checked it under this identity.
pub(super) fn charged(extensions: &Extensions, id: CountId) -> Option<u32> {
    let Counts(counts) = extensions.get()?;
    counts.iter().find(|(counted, _)| *counted == id).map(|(_, cost)| *cost)
}

/// Returns `true` if a policy has counted the request.
pub(super) fn is_counted(extensions: &Extensions) -> bool {
    extensions.get::<Counts>().is_some()
}

/// Records that the request has been charged `cost` units in all under this identity.
pub(super) fn record(extensions: &mut Extensions, id: CountId, cost: u32) {
    let Counts(counts) = extensions.get_or_insert_default();
    match counts.iter_mut().find(|(counted, _)| *counted == id) {
        Some((_, charged)) => *charged = cost,
        None => counts.push((id, cost)),
    }
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
