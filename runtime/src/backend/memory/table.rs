//! A hash table of slots. A slot is the entry of one key, and the table is an array of places, each
//! of which is empty or holds one slot.
//!
//! It uses open addressing with linear probing, where a slot further from its home place takes
//! precedence ([Robin Hood hashing](https://cs.uwaterloo.ca/research/tr/1986/CS-86-14.pdf)). A slot
//! is one cache line and contains its key. So finding a key takes one access to memory, at the
//! key's home place, and seldom another one after the next line. A table that stores the hashes
//! separately takes at least two accesses, and with many keys these accesses dominate the time of a
//! check. That is why the backend does not use the guards' bounded map. No slot stores its hash, which
//! follows from its key.

use super::key::SlotKey;

/// The number of places that the table has after the first insertion.
const FIRST: usize = 8;
/// The distance from which on a search asks if the slots are still as far from home as it is. Few go
/// further, and it has to compute a hash for that.
const PATIENCE: usize = 2;

/// A slot, or a place without one, whose key is [`SlotKey::NONE`].
pub(super) trait Keyed: Sized {
    const NONE: Self;

    fn key(&self) -> SlotKey;

    /// Returns the number of the policy that the slot follows.
    fn form(&self) -> u16;
}

/// The array of places. At least a quarter of them are empty, which keeps searches short. The shard
/// knows how many are not, because two tables and that have to fit into its cache line.
pub(super) struct SlotTable<S> {
    places: Box<[S]>,
}

impl<S> Default for SlotTable<S> {
    fn default() -> Self {
        Self { places: Box::default() }
    }
}

impl<S: Keyed> SlotTable<S> {
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// Returns the slot at `place`; `None` if there is none.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&S> {
        self.places.get(place).filter(|slot| !slot.key().is_none())
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut S> {
        self.places.get_mut(place).filter(|slot| !slot.key().is_none())
    }

    /// Returns the slot at the place that [`find`](Self::find) has returned.
    #[inline(always)]
    pub(super) fn at(&mut self, place: usize) -> &mut S {
        &mut self.places[place]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &S> {
        self.places.iter().filter(|slot| !slot.key().is_none())
    }

    /// Returns the place of a key's slot whose policy's number `accepted` accepts, and what that has
    /// returned for it, given the key's hash; `None` if the key has no slot. `hash_of` returns the hash of
    /// a slot.
    #[inline(always)]
    pub(super) fn find<T>(
        &self,
        (key, hash): (SlotKey, u32),
        accepted: impl Fn(u16) -> Option<T>,
        hash_of: impl Fn(&S) -> u32,
    ) -> Option<(usize, T)> {
        let mut place = self.home(hash);
        let mut distance = 0;
        // The search ends at an empty place at the latest.
        loop {
            let slot = self.places.get(place)?;
            if slot.key() == key
                && let Some(accepted) = accepted(slot.form())
            {
                return Some((place, accepted));
            }
            if slot.key().is_none() {
                return None;
            }
            if distance > PATIENCE && self.distance(hash_of(slot), place) < distance {
                return None;
            }
            distance += 1;
            place = self.next(place);
        }
    }

    /// Adds a slot whose key is not in the table, which has `len` slots. Returns the number of other
    /// slots that were moved.
    pub(super) fn insert(&mut self, slot: S, len: u16, hash_of: impl Fn(&S) -> u32) -> usize {
        let len = usize::from(len);
        let is_full = (len + 1) * 4 > self.places.len() * 3;
        let grown = if is_full { self.grow(len, &hash_of) } else { 0 };
        grown + self.put(slot, &hash_of)
    }

    /// Puts a slot into the table, which must have an empty place. Returns the number of other
    /// slots that were moved.
    fn put(&mut self, mut slot: S, hash_of: &impl Fn(&S) -> u32) -> usize {
        let mut place = self.home(hash_of(&slot));
        let (mut distance, mut moved) = (0, 0);
        while let Some(other) = self.get(place) {
            let others = self.distance(hash_of(other), place);
            if others < distance {
                std::mem::swap(&mut slot, &mut self.places[place]);
                distance = others;
                moved += 1;
            }
            distance += 1;
            place = self.next(place);
        }
        self.places[place] = slot;
        moved
    }

    /// Removes the slot at `place`. Returns `None` if there was none.
    pub(super) fn remove(&mut self, place: usize, hash_of: impl Fn(&S) -> u32) -> Option<S> {
        let removed = std::mem::replace(self.get_mut(place)?, S::NONE);
        // The slots after it move one place back. This ends before an empty place, or before a slot
        // that is at its home place.
        let (mut gap, mut from) = (place, self.next(place));
        while let Some(slot) = self.get(from)
            && self.distance(hash_of(slot), from) > 0
        {
            self.places.swap(gap, from);
            (gap, from) = (from, self.next(from));
        }
        Some(removed)
    }

    /// Makes the table of `len` slots larger by a quarter. All of them are moved, and their number is
    /// returned.
    #[cold]
    fn grow(&mut self, len: usize, hash_of: &impl Fn(&S) -> u32) -> usize {
        let count = FIRST.max(self.places.len() + self.places.len() / 4);
        let places = std::iter::repeat_with(|| S::NONE).take(count).collect();
        let former = std::mem::replace(&mut self.places, places);
        for slot in former {
            if !slot.key().is_none() {
                self.put(slot, hash_of);
            }
        }
        len
    }

    /// Returns the home place of a hash: the place that its slot has in an otherwise empty table.
    #[inline(always)]
    fn home(&self, hash: u32) -> usize {
        // The hash, as a fraction of 2³², selects the place.
        ((u64::from(hash) * self.places.len() as u64) >> 32) as usize
    }

    /// Returns the distance between `place`, where a slot with this hash is, and its home place.
    #[inline]
    fn distance(&self, hash: u32, place: usize) -> usize {
        let home = self.home(hash);
        if home <= place { place - home } else { place + self.places.len() - home }
    }

    #[inline(always)]
    fn next(&self, place: usize) -> usize {
        if place + 1 < self.places.len() { place + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::key::KeyHasher;
    use super::*;

    struct Numbered {
        key: SlotKey,
        form: u16,
        hash: u32,
    }

    impl Keyed for Numbered {
        const NONE: Self = Self { key: SlotKey::NONE, form: 0, hash: 0 };

        fn key(&self) -> SlotKey {
            self.key
        }

        fn form(&self) -> u16 {
            self.form
        }
    }

    proptest! {
        /// Compares the table with a map. Many of the hashes are the same or next to each other.
        #[test]
        fn it_is_a_set(
            steps in prop::collection::vec((any::<bool>(), 0_u32..60, 0_u16..3, 1_u32..5), 0..600),
        ) {
            let hasher = KeyHasher::new();
            let (mut table, mut set) = (SlotTable::<Numbered>::default(), BTreeMap::new());
            let place = |table: &SlotTable<Numbered>, hash: u32, key: SlotKey, form: u16| {
                let is_form = |found| (found == form).then_some(());
                table.find((key, hash), is_form, |slot| slot.hash).map(|(place, ())| place)
            };
            for (inserts, number, form, spread) in steps {
                let hash = number % 16 * (spread << 26);
                let subject = format!("{spread} {number}");
                let key = hasher.key(&subject);
                let found = place(&table, hash, key, form);
                prop_assert_eq!(found.is_some(), set.contains_key(&(subject.clone(), form)));
                match found {
                    None if inserts => {
                        let len = set.len() as u16;
                        table.insert(Numbered { key, form, hash }, len, |slot| slot.hash);
                        set.insert((subject, form), (key, hash));
                    }
                    Some(place) if !inserts => {
                        let removed = table.remove(place, |slot| slot.hash);
                        prop_assert!(removed.is_some_and(|slot| slot.key == key));
                        set.remove(&(subject, form));
                    }
                    _ => {}
                }
                for ((_, form), (key, hash)) in &set {
                    let place = place(&table, *hash, *key, *form);
                    prop_assert!(place.is_some_and(|place| table.at(place).key == *key));
                }
                prop_assert_eq!(table.iter().count(), set.len());
                prop_assert!(set.len() * 4 <= table.places() * 3);
            }
        }
    }
}
