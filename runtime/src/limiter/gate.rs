//! The gate in front of checks that do not wait: tells them, at the price of one load, that nobody
//! waits for their key.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use crate::Check;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The number of counts among which the keys are divided, a power of two.
const COUNTS: usize = 256;

/// The numbers of lines: of all, and of those of the keys that share a count. Each is at least the
/// number of lines that a check could find.
pub(super) struct Gate {
    all: AtomicUsize,
    counts: Box<[AtomicUsize]>,
    hasher: RandomState,
}

impl Gate {
    pub(super) fn new() -> Self {
        let counts = (0..COUNTS).map(|_| AtomicUsize::new(0)).collect();
        Self { all: AtomicUsize::new(0), counts, hasher: RandomState::default() }
    }

    /// Returns `true` if nobody waits for any key.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        // Whoever has been told by another thread that somebody waits also sees the count.
        self.all.load(Ordering::Relaxed) == 0
    }

    /// Returns `false` if nobody waits for a key with this hash.
    pub(super) fn is_closed_for(&self, hash: u64) -> bool {
        self.count(hash).load(Ordering::Relaxed) > 0
    }

    /// Returns the hash of a check's key.
    pub(super) fn hash(&self, check: &Check<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(check.subject.as_bytes());
        hasher.finish() ^ check.policy.name_hash()
    }

    /// Counts a line that is about to be added.
    pub(super) fn add(&self, hash: u64) {
        self.all.fetch_add(1, Ordering::SeqCst);
        self.count(hash).fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets a line that was removed.
    pub(super) fn remove(&self, hash: u64) {
        self.count(hash).fetch_sub(1, Ordering::SeqCst);
        self.all.fetch_sub(1, Ordering::SeqCst);
    }

    fn count(&self, hash: u64) -> &AtomicUsize {
        &self.counts[hash as usize & (COUNTS - 1)]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Policy, Quota};

    #[test]
    fn the_gate_is_closed_for_a_key_as_long_as_it_has_a_line() {
        let gate = Gate::new();
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let hash = gate.hash(&Check::new(&policy, "s", 1));
        assert!(gate.is_open() && !gate.is_closed_for(hash));
        gate.add(hash);
        gate.add(hash);
        gate.remove(hash);
        assert!(!gate.is_open() && gate.is_closed_for(hash));
        assert!(!gate.is_closed_for(hash ^ 1), "another key has no line");
        gate.remove(hash);
        assert!(gate.is_open() && !gate.is_closed_for(hash));
    }
}
