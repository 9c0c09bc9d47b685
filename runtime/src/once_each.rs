//! A set that remembers what has been logged, in bounded memory and without a lock.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of values that are remembered. When all slots are in use, further values are not
/// first, so that the log is bounded, too.
const SLOTS: usize = 64;

/// Tells the first occurrence of each value from its repetitions.
#[derive(Debug)]
pub(crate) struct OnceEach {
    /// The hashes of the values; 0 in an unused slot.
    slots: [AtomicU64; SLOTS],
}

impl OnceEach {
    pub(crate) const fn new() -> Self {
        Self { slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    /// Returns `true` for the first call with this value.
    pub(crate) fn is_first(&self, value: &impl Hash) -> bool {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(value).max(1);
        for slot in &self.slots {
            let found = match slot.load(Ordering::Relaxed) {
                0 => match slot.compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return true,
                    Err(found) => found,
                },
                found => found,
            };
            if found == hash {
                return false;
            }
        }
        false
    }
}

impl Default for OnceEach {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_first_once_and_not_more_than_there_is_room_for() {
        let told = OnceEach::new();
        let first = |round: usize| (0..1_000).filter(|n| told.is_first(&(n, round))).count();
        assert_eq!([first(0), first(0), first(1)], [SLOTS, 0, 0]);
        let told = OnceEach::new();
        assert!(told.is_first(&1) && told.is_first(&2) && !told.is_first(&1));
    }
}
