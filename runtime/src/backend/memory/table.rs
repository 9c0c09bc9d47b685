//! A hash table of slots. A slot is the entry of one key, and the table is an array of places, each
//! of which is empty or holds one slot.
//!
//! It uses open addressing with linear probing, where a slot further from its home place takes
//! precedence ([Robin Hood hashing](https://cs.uwaterloo.ca/research/tr/1986/CS-86-14.pdf)). A slot
//! is one cache line and contains its hash. So finding a key takes one access to memory, at the
//! key's home place, and seldom another one after the next line. A table that stores the hashes
//! separately takes at least two accesses, and with many keys these accesses dominate the time of a
//! check. That is why the backend does not use the guards' bounded map.

use super::slot::Slot;
use crate::Check;

/// The number of places that the table has after the first insertion.
const FIRST: usize = 8;

#[derive(Default)]
pub(super) struct SlotTable {
    /// The array of places. At least a third of them are empty, which keeps searches short.
    places: Box<[Option<Slot>]>,
    len: usize,
}

impl SlotTable {
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&Slot> {
        self.places.get(place)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Slot> {
        self.places.get_mut(place)?.as_mut()
    }

    /// Returns the place of the check's slot, given the hash of its key; `None` if the key has no
    /// slot.
    #[inline(always)]
    pub(super) fn find(&self, hash: u32, check: &Check<'_>) -> Option<usize> {
        let mut place = self.home(hash);
        let mut distance = 0;
        // The search ends at an empty place at the latest.
        while let Some(slot) = self.get(place) {
            if slot.hash() == hash && slot.is_of(check) {
                return Some(place);
            }
            if self.distance(slot, place) < distance {
                return None;
            }
            distance += 1;
            place = self.next(place);
        }
        None
    }

    /// Adds a slot whose key is not in the table. Returns the number of other slots that were
    /// moved.
    pub(super) fn insert(&mut self, slot: Slot) -> usize {
        let grown = if (self.len + 1) * 3 > self.places.len() * 2 { self.grow() } else { 0 };
        self.len += 1;
        grown + self.put(slot)
    }

    /// Puts a slot into the table, which must have an empty place. Returns the number of other
    /// slots that were moved.
    fn put(&mut self, mut slot: Slot) -> usize {
        let places = self.places.len();
        let mut place = self.home(slot.hash());
        let (mut distance, mut moved) = (0, 0);
        while let Some(other) = &mut self.places[place] {
            let others = distance_of(other, place, places);
            if others < distance {
                std::mem::swap(&mut slot, other);
                distance = others;
                moved += 1;
            }
            distance += 1;
            place = self.next(place);
        }
        self.places[place] = Some(slot);
        moved
    }

    /// Removes the slot at `place`. Returns `false` if there was none.
    pub(super) fn remove(&mut self, place: usize) -> bool {
        let removed = self.places.get_mut(place).and_then(Option::take).is_some();
        if !removed {
            return false;
        }
        self.len -= 1;
        // The slots after it move one place back. This ends before an empty place, or before a slot
        // that is at its home place.
        let (mut gap, mut from) = (place, self.next(place));
        while let Some(slot) = self.get(from)
            && self.distance(slot, from) > 0
        {
            self.places.swap(gap, from);
            (gap, from) = (from, self.next(from));
        }
        true
    }

    /// Makes the table larger by half. Returns the number of slots, all of which were moved.
    #[cold]
    fn grow(&mut self) -> usize {
        let count = FIRST.max(self.places.len() + self.places.len() / 2);
        let places = std::iter::repeat_with(|| None).take(count).collect();
        let former = std::mem::replace(&mut self.places, places);
        for slot in former.into_iter().flatten() {
            self.put(slot);
        }
        self.len
    }

    /// Returns the home place of a hash: the place that its slot has in an otherwise empty table.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        home_of(hash, self.places.len())
    }

    /// Returns the distance between `place`, where the slot is, and its home place.
    #[inline]
    fn distance(&self, slot: &Slot, place: usize) -> usize {
        distance_of(slot, place, self.places.len())
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        if place + 1 < self.places.len() { place + 1 } else { 0 }
    }
}

#[inline]
fn home_of(hash: u32, places: usize) -> usize {
    // The hash, as a fraction of 2³², selects the place.
    ((u64::from(hash) * places as u64) >> 32) as usize
}

#[inline]
fn distance_of(slot: &Slot, place: usize, places: usize) -> usize {
    let home = home_of(slot.hash(), places);
    if home <= place { place - home } else { place + places - home }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::algorithm::Counters;
    use crate::{Policy, Quota};

    const POLICY: Policy = Policy::new("policy", Quota::new(1, Duration::from_secs(1)));

    fn place(table: &SlotTable, hash: u32, subject: &str) -> Option<usize> {
        table.find(hash, &Check::new(&POLICY, subject, 1))
    }

    proptest! {
        /// Compares the table with a set. Many of the hashes collide.
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0_u32..60, 1_u32..5), 0..400)) {
            let policy = Arc::new(POLICY);
            let (mut table, mut set) = (SlotTable::default(), BTreeSet::new());
            for (inserts, number, spread) in steps {
                let hash = number % 16 * (spread << 26);
                let subject = format!("{spread} {number}");
                let found = place(&table, hash, &subject);
                prop_assert_eq!(found.is_some(), set.contains(&(hash, subject.clone())));
                match found {
                    None if inserts => {
                        let counters = Counters::new(&POLICY);
                        let check = Check::new(&policy, &subject, 1);
                        table.insert(Slot::new(hash, &check, policy.clone(), counters));
                        set.insert((hash, subject));
                    }
                    Some(place) if !inserts => {
                        prop_assert!(table.remove(place));
                        set.remove(&(hash, subject));
                    }
                    _ => {}
                }
                prop_assert!(set.iter().all(|(hash, subject)| place(&table, *hash, subject).is_some()));
                let held = (0..table.places()).filter(|place| table.get(*place).is_some()).count();
                prop_assert_eq!((held, table.len), (set.len(), set.len()));
            }
        }
    }
}
