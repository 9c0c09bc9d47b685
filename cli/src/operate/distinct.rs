//! Tells keys that were found once from those that were found before.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use tollgate::backend::StoredKey;

/// So many keys are remembered, in some 16 bytes each.
const MOST: usize = 1 << 24;

/// The keys that were found, by their hashes. A server that resizes its table can name a key twice.
#[derive(Default)]
pub(crate) struct Distinct {
    hasher: RandomState,
    found: HashSet<u64>,
}

impl Distinct {
    /// Returns `true` if the key is new. Beyond [`MOST`], all are.
    pub(crate) fn insert(&mut self, key: &StoredKey) -> bool {
        self.is_full() || self.found.insert(self.hasher.hash_one((key.policy(), key.subject())))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MOST
    }
}
