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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Policy;

/// The record of what was done with one layer. Each clone of the layer has a record of its own.
pub(super) struct Placement {
    uses: Arc<Mutex<Uses>>,
    /// The uses of the layer of which this one is a clone.
    original: Option<Arc<Mutex<Uses>>>,
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
    /// `true` if the layer was dropped.
    is_dropped: bool,
    /// The clone that was made last.
    last: Option<LastClone>,
}

struct LastClone {
    uses: Arc<Mutex<Uses>>,
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
        let last = lock(&last.uses);
        self.applied == 1
            && last.is_dropped
            && (last.clones, last.applied, last.applied_once) == (2, 0, 2)
    }
}

impl Placement {
    #[track_caller]
    pub(super) fn new() -> Self {
        Self { uses: Arc::default(), original: None, created_at: Location::caller() }
    }

    /// Records that the layer is applied to a service. Logs a warning if that completes the steps by
    /// which a router without routes adds a layer.
    pub(super) fn apply(&self, policy: &Policy) {
        let mut uses = lock(&self.uses);
        uses.applied = uses.applied.saturating_add(1);
        if uses.reaches_only_the_fallback() {
            tracing::warn!(
                policy = policy.name(),
                layer = %self.created_at,
                "a layer was added to a router without routes: it limits only requests that match \
                 no route. Routes that are added after it are not limited: add the layer after them"
            );
        }
    }
}

impl Clone for Placement {
    fn clone(&self) -> Self {
        let clone = Arc::<Mutex<Uses>>::default();
        let mut uses = lock(&self.uses);
        uses.clones = uses.clones.saturating_add(1);
        let follows_unused = uses.last.take().is_some_and(|before| {
            let before = lock(&before.uses);
            before.is_dropped && before.is_unused()
        });
        uses.last = Some(LastClone { uses: Arc::clone(&clone), follows_unused });
        Self { uses: clone, original: Some(Arc::clone(&self.uses)), created_at: self.created_at }
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        let mut uses = lock(&self.uses);
        uses.is_dropped = true;
        uses.last = None;
        let was_applied_once = uses.clones == 0 && uses.applied == 1;
        drop(uses);
        if let Some(original) = self.original.as_ref().filter(|_| was_applied_once) {
            let mut original = lock(original);
            original.applied_once = original.applied_once.saturating_add(1);
        }
    }
}

/// Locks the mutex and ignores poisoning: a panic cannot leave these numbers half changed.
fn lock(uses: &Mutex<Uses>) -> MutexGuard<'_, Uses> {
    uses.lock().unwrap_or_else(PoisonError::into_inner)
}
