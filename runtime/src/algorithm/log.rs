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
/// to find the oldest and the newest entry is there. Nothing is allocated while it is empty for
/// the first time.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    places: ThinVec<Entry>,
    /// The place of the oldest.
    head: u16,
    /// How many there are: at most one more than a window's resolution.
    len: u16,
    used: u32,
}

/// The first allocation, in places: with its header, a cache line.
const FIRST_PLACES: usize = 3;

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
        (index < self.len()).then(|| self.places[self.place(index)])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    #[inline]
    pub(super) fn push_back(&mut self, entry: Entry) {
        if self.len() == self.places.len() {
            self.grow();
        }
        let place = self.place(self.len());
        self.places[place] = entry;
        self.len += 1;
        self.used += entry.units;
    }

    /// Adds `units` to the newest entry, which is of `newest` now.
    #[inline]
    pub(super) fn add_to_back(&mut self, newest: Micros, units: u32) {
        if self.len > 0 {
            let place = self.place(self.len() - 1);
            self.places[place].newest = newest;
            self.places[place].units += units;
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
            let place = self.place(index);
            self.places[place] = entry;
            return;
        }
        for later in index + 1..self.len() {
            let (from, to) = (self.place(later), self.place(later - 1));
            self.places[to] = self.places[from];
        }
        self.len -= 1;
    }

    #[inline]
    fn place(&self, index: usize) -> usize {
        let at = usize::from(self.head) + index;
        if at < self.places.len() { at } else { at - self.places.len() }
    }

    /// To twice the memory.
    #[cold]
    fn grow(&mut self) {
        let mut places = thin_vec![Entry::default(); FIRST_PLACES.max(self.places.len() * 2 + 1)];
        for (place, entry) in places.iter_mut().zip(self.iter()) {
            *place = entry;
        }
        self.places = places;
        self.head = 0;
    }
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

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec((0_u8..6, 1_u32..9), 0..400)) {
            let (mut log, mut queue) = (Log::default(), VecDeque::new());
            for (newest, (step, units)) in (0..).zip(steps) {
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
