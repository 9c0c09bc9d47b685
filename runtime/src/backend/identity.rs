//! The identity of stores, by which the decisions of limiters with the same store are told from those
//! of others.

use std::any::{Any, TypeId};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The bit that only identities by a text have. So they differ from those that are counted.
const BY_TEXT: u64 = 1 << 63;

/// The backends without a text, each with its number. They are known as long as they exist.
static KNOWN: Mutex<Vec<(Weak<dyn Any + Send + Sync>, u64)>> = Mutex::new(Vec::new());

/// Returns a number that was never returned before in this process.
pub(crate) fn next_identity() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Returns the number that all backends with the charges of this one have, and no other one. `text` is
/// the one that those of its type have in common, if there is one.
pub(super) fn identity_of<B: Send + Sync + 'static>(backend: &Arc<B>, text: Option<String>) -> u64 {
    match text {
        Some(text) => {
            let mut hasher = DefaultHasher::new();
            (TypeId::of::<B>(), text).hash(&mut hasher);
            hasher.finish() | BY_TEXT
        }
        None => identity_of_instance(Arc::clone(backend) as Arc<dyn Any + Send + Sync>),
    }
}

fn identity_of_instance(backend: Arc<dyn Any + Send + Sync>) -> u64 {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    // The address of a backend is not given to another one while a weak pointer has it.
    known.retain(|(other, _)| other.strong_count() > 0);
    let is_same = |other: &Weak<dyn Any + Send + Sync>| {
        std::ptr::addr_eq(other.as_ptr(), Arc::as_ptr(&backend))
    };
    if let Some((_, identity)) = known.iter().find(|(other, _)| is_same(other)) {
        return *identity;
    }
    let identity = next_identity();
    known.push((Arc::downgrade(&backend), identity));
    identity
}
