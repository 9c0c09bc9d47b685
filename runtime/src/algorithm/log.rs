//! Admissions in the order of their time, in a ring.

use thin_vec::{ThinVec, thin_vec};

use super::Micros;

/// What was admitted at one time, or in one granule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The newest admission in this entry.
    pub(super) newest: Micros,
    pub(super) units: u32,
}

/// Entries, the oldest first, and the sum of their units.
///
/// A store holds very many of these, so it takes little room where it is, and what is looked at
/// to find the oldest and the newest entry is there. Nothing is allocated for a single entry: most
/// subjects of a service come once.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    places: Places,
    /// The place of the oldest.
    head: u16,
    /// How many there are: at most one more than a window's resolution.
    len: u16,
    used: u32,
}

/// Where entries are.
#[derive(Clone, Debug)]
enum Places {
    One(Packed),
    Many(ThinVec<Packed>),
    /// Since there was one that cannot be packed.
    Wide(ThinVec<Entry>),
}

impl Default for Places {
    fn default() -> Self {
        Self::One(Packed::default())
    }
}

/// An entry in one word: the time above, the units below. All entries of a limit that has an entry
/// for each admission can be packed, until the year 2255.
#[derive(Clone, Copy, Debug, Default)]
struct Packed(u64);

impl Packed {
    const UNIT_BITS: u32 = 11;

    #[inline]
    fn of(Entry { newest, units }: Entry) -> Option<Self> {
        let fits = newest >> (u64::BITS - Self::UNIT_BITS) == 0 && units >> Self::UNIT_BITS == 0;
        fits.then_some(Self(newest << Self::UNIT_BITS | u64::from(units)))
    }

    #[inline]
    fn entry(self) -> Entry {
        // What is left are the lowest bits.
        let units = (self.0 & ((1 << Self::UNIT_BITS) - 1)) as u32;
        Entry { newest: self.0 >> Self::UNIT_BITS, units }
    }
}

/// The first allocations, in places: with the vector's header, a cache line.
const FIRST_PACKED: usize = 6;
const FIRST_WIDE: usize = 3;

impl Log {
    /// The sum of all entries' units.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    #[inline]
    pub(super) fn front(&self) -> Option<Entry> {
        self.get(0)
    }

    #[inline]
    pub(super) fn back(&self) -> Option<Entry> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The entry that `index` others are older than.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Entry> {
        (index < self.len()).then(|| match &self.places {
            Places::One(packed) => packed.entry(),
            Places::Many(places) => places[place(self.head, index, places.len())].entry(),
            Places::Wide(places) => places[place(self.head, index, places.len())],
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    #[inline]
    pub(super) fn push_back(&mut self, entry: Entry) {
        if self.len() == self.places.len() {
            self.grow();
        }
        self.len += 1;
        self.set(self.len() - 1, entry);
        self.used += entry.units;
    }

    /// Adds `units` to the newest entry, which is of `newest` now.
    #[inline]
    pub(super) fn add_to_back(&mut self, newest: Micros, units: u32) {
        if let Some(back) = self.back() {
            self.set(self.len() - 1, Entry { newest, units: back.units + units });
            self.used += units;
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) {
        if let Some(entry) = self.front() {
            self.head =
                if usize::from(self.head) + 1 < self.places.len() { self.head + 1 } else { 0 };
            self.len -= 1;
            self.used -= entry.units;
        }
    }

    pub(super) fn pop_back(&mut self) {
        if let Some(entry) = self.back() {
            self.len -= 1;
            self.used -= entry.units;
        }
    }

    /// Takes `units`, no more than it has, from the entry at `index`, which goes with its last.
    pub(super) fn take(&mut self, index: usize, units: u32) {
        let Some(mut entry) = self.get(index) else { return };
        entry.units -= units;
        self.used -= units;
        if entry.units > 0 {
            self.set(index, entry);
            return;
        }
        for later in index + 1..self.len() {
            if let Some(entry) = self.get(later) {
                self.set(later - 1, entry);
            }
        }
        self.len -= 1;
    }

    #[inline]
    fn set(&mut self, index: usize, entry: Entry) {
        match (&mut self.places, Packed::of(entry)) {
            (Places::One(place), Some(packed)) => *place = packed,
            (Places::Many(places), Some(packed)) => {
                let at = place(self.head, index, places.len());
                places[at] = packed;
            }
            (Places::Wide(places), _) => {
                let at = place(self.head, index, places.len());
                places[at] = entry;
            }
            (_, None) => self.set_wide(index, entry),
        }
    }

    #[cold]
    fn set_wide(&mut self, index: usize, entry: Entry) {
        self.move_to_wide(self.places.len().max(FIRST_WIDE));
        self.set(index, entry);
    }

    /// To twice the memory.
    #[cold]
    fn grow(&mut self) {
        match &self.places {
            Places::One(_) => self.move_to_many(FIRST_PACKED),
            Places::Many(places) => self.move_to_many(places.len() * 2 + 2),
            Places::Wide(places) => self.move_to_wide(places.len() * 2 + 1),
        }
    }

    fn move_to_many(&mut self, count: usize) {
        let mut places = thin_vec![Packed::default(); count];
        for (place, packed) in places.iter_mut().zip(self.iter().filter_map(Packed::of)) {
            *place = packed;
        }
        self.places = Places::Many(places);
        self.head = 0;
    }

    fn move_to_wide(&mut self, count: usize) {
        let mut places = thin_vec![Entry::default(); count];
        for (place, entry) in places.iter_mut().zip(self.iter()) {
            *place = entry;
        }
        self.places = Places::Wide(places);
        self.head = 0;
    }
}

impl Places {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(places) => places.len(),
            Self::Wide(places) => places.len(),
        }
    }
}

/// Where in a ring of `count` places that is.
#[inline]
fn place(head: u16, index: usize, count: usize) -> usize {
    let at = usize::from(head) + index;
    if at < count { at } else { at - count }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Beside a queue that does the same.
    fn same(log: &Log, queue: &VecDeque<Entry>) {
        assert_eq!(log.iter().collect::<Vec<_>>(), queue.iter().copied().collect::<Vec<_>>());
        assert_eq!((log.front(), log.back()), (queue.front().copied(), queue.back().copied()));
        assert_eq!(log.used(), queue.iter().map(|entry| entry.units).sum::<u32>());
    }

    /// From the first time that is given, each step a microsecond after the other. Some entries
    /// cannot be packed, for their units or for their time.
    fn steps() -> impl Strategy<Value = (Micros, Vec<(u8, u32)>)> {
        let first = prop_oneof![3 => Just(0), 1 => Just((1 << 53) - 50)];
        let units = prop_oneof![300 => 1_u32..9, 1 => 2_000_u32..3_000];
        (first, prop::collection::vec((0_u8..6, units), 0..400))
    }

    proptest! {
        #[test]
        fn it_is_a_queue((first, steps) in steps()) {
            let (mut log, mut queue) = (Log::default(), VecDeque::new());
            for (newest, (step, units)) in (first..).zip(steps) {
                let entry = Entry { newest, units };
                match step {
                    0..3 => {
                        log.push_back(entry);
                        queue.push_back(entry);
                    }
                    3 => {
                        log.pop_front();
                        queue.pop_front();
                    }
                    4 => {
                        log.pop_back();
                        queue.pop_back();
                    }
                    _ if queue.is_empty() => log.add_to_back(newest, units),
                    _ => {
                        let back = queue.back_mut().unwrap();
                        *back = Entry { newest, units: back.units + units };
                        log.add_to_back(newest, units);
                        let index = newest as usize % queue.len();
                        let taken = units.min(queue[index].units);
                        log.take(index, taken);
                        queue[index].units -= taken;
                        queue.retain(|entry| entry.units > 0);
                    }
                }
                same(&log, &queue);
            }
        }
    }
}
