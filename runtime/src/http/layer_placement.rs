//! The detection of layers that were added to a router before its routes.
//!
//! `Router::layer` wraps the routes that the router has. Without routes there is only the fallback to
//! wrap, so the layer limits nothing but requests that match no route, and nobody notices. A layer is
//! not told where it is added, but it can see what a router does with it. `Router::layer` of axum 0.8
//! clones the layer for the routes, clones it again for the fallback's two paths, and applies the
//! original to the fallback itself:
//!
//! ```text
//!   original ──┬── first clone     cloned for each route: without routes neither cloned nor applied
//!              ├── last clone      cloned twice, each clone applied once
//!              └── applied once
//! ```
//!
//! No other use looks like that: `MethodRouter::layer`, `Router::route_layer` and a fallback that is a
//! handler never apply the original, and `ServiceBuilder` and `Handler::layer` make other clones. If
//! another version of axum does it differently, nothing is found. A router that has a fallback service
//! and no routes looks the same, so the message says what is limited and what is not.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Policy;

/// The record of what was done with one layer. Each clone of the layer has a record of its own, until
/// the layer from which it was cloned is dropped: then the router has been built, and the clones that
/// it makes for its requests have no record (`None`).
pub(super) struct Placement(Option<Arc<Record>>);

struct Record {
    /// `true` if the layer was dropped.
    is_dropped: AtomicBool,
    uses: Mutex<Uses>,
    /// The record of the layer of which this one is a clone.
    original: Option<Arc<Record>>,
    /// The place in the program at which the layer was created.
    created_at: &'static Location<'static>,
}

/// The uses of one layer.
#[derive(Default)]
struct Uses {
    clones: u32,
    /// The number of services to which the layer was applied.
    applied: u32,
    /// The number of dropped clones that were applied to exactly one service and not cloned.
    applied_once: u32,
    /// The clone that was made last.
    last: Option<LastClone>,
}

struct LastClone {
    record: Arc<Record>,
    /// `true` if the clone before this one was dropped unused before this one was made.
    follows_unused: bool,
}

impl Uses {
    fn is_unused(&self) -> bool {
        self.clones == 0 && self.applied == 0
    }

    /// Returns `true` if this is the original of a layer that a router without routes was given.
    fn reaches_only_the_fallback(&self) -> bool {
        let Some(last) = self.last.as_ref().filter(|last| last.follows_unused) else {
            return false;
        };
        let uses = last.record.lock();
        self.applied == 1
            && last.record.is_dropped()
            && (uses.clones, uses.applied, uses.applied_once) == (2, 0, 2)
    }
}

impl Record {
    fn new(original: Option<Arc<Self>>, created_at: &'static Location<'static>) -> Arc<Self> {
        let (is_dropped, uses) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { is_dropped, uses, original, created_at })
    }

    fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }

    /// Locks the uses and ignores poisoning: a panic cannot leave these numbers half changed.
    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the record of a new clone of the layer.
    fn of_clone(self: &Arc<Self>) -> Arc<Self> {
        let clone = Self::new(Some(Arc::clone(self)), self.created_at);
        let mut uses = self.lock();
        uses.clones = uses.clones.saturating_add(1);
        let follows_unused = uses.last.take().is_some_and(|before| {
            let is_unused = before.record.lock().is_unused();
            before.record.is_dropped() && is_unused
        });
        uses.last = Some(LastClone { record: Arc::clone(&clone), follows_unused });
        clone
    }
}

impl Placement {
    #[track_caller]
    pub(super) fn new() -> Self {
        Self(Some(Record::new(None, Location::caller())))
    }

    /// Records that the layer is applied to a service. Logs a warning if that completes the steps by
    /// which a router without routes adds a layer.
    #[inline]
    pub(super) fn apply(&self, policy: &Policy) {
        if let Some(record) = &self.0 {
            apply(record, policy);
        }
    }
}

fn apply(record: &Record, policy: &Policy) {
    let mut uses = record.lock();
    uses.applied = uses.applied.saturating_add(1);
    if uses.reaches_only_the_fallback() {
        tracing::warn!(
            policy = policy.name(),
            layer = %record.created_at,
            "a layer was added to a router without routes: it limits only requests that match \
             no route. Routes that are added after it are not limited: add the layer after them"
        );
    }
}

impl Clone for Placement {
    #[inline]
    fn clone(&self) -> Self {
        let is_built = |record: &&Arc<Record>| {
            record.original.as_ref().is_some_and(|original| original.is_dropped())
        };
        let record = self.0.as_ref().filter(|record| !is_built(record));
        Self(record.map(Record::of_clone))
    }
}

impl Drop for Placement {
    #[inline]
    fn drop(&mut self) {
        if let Some(record) = self.0.take() {
            drop_record(&record);
        }
    }
}

fn drop_record(record: &Record) {
    record.is_dropped.store(true, Ordering::Release);
    let mut uses = record.lock();
    uses.last = None;
    let was_applied_once = uses.clones == 0 && uses.applied == 1;
    drop(uses);
    if let Some(original) = record.original.as_ref().filter(|_| was_applied_once) {
        let mut original = original.lock();
        original.applied_once = original.applied_once.saturating_add(1);
    }
}
