//! Admissions in the order of their time, in a ring.

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
/// A store holds very many of these, so all is in one allocation: the first place holds the
/// bookkeeping, beside the entries that are looked at with it. Nothing is allocated while it is
/// empty for the first time.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    places: Box<[Entry]>,
}

/// The first allocation, in places: a cache line.
const FIRST_PLACES: usize = 4;

impl Log {
    /// The sum of all entries' units.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        self.places.first().map_or(0, |bookkeeping| bookkeeping.units)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bookkeeping().1
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
        let (head, len) = self.bookkeeping();
        (index < len).then(|| self.places[self.place(head, index)])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    #[inline]
    pub(super) fn push_back(&mut self, entry: Entry) {
        let (mut head, len) = self.bookkeeping();
        if len + 1 >= self.places.len() {
            self.grow();
            head = 0;
        }
        let place = self.place(head, len);
        self.places[place] = entry;
        self.keep(head, len + 1, self.used() + entry.units);
    }

    /// Adds `units` to the newest entry, which is of `newest` now.
    #[inline]
    pub(super) fn add_to_back(&mut self, newest: Micros, units: u32) {
        let (head, len) = self.bookkeeping();
        if len > 0 {
            let place = self.place(head, len - 1);
            self.places[place].newest = newest;
            self.places[place].units += units;
            self.keep(head, len, self.used() + units);
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) {
        if let Some(entry) = self.front() {
            let (head, len) = self.bookkeeping();
            let next = if head + 2 < self.places.len() { head + 1 } else { 0 };
            self.keep(next, len - 1, self.used() - entry.units);
        }
    }

    pub(super) fn pop_back(&mut self) {
        if let Some(entry) = self.back() {
            let (head, len) = self.bookkeeping();
            self.keep(head, len - 1, self.used() - entry.units);
        }
    }

    /// Takes `units`, no more than it has, from the entry at `index`, which goes with its last.
    pub(super) fn take(&mut self, index: usize, units: u32) {
        let Some(mut entry) = self.get(index) else { return };
        let (head, mut len) = self.bookkeeping();
        entry.units -= units;
        if entry.units > 0 {
            let place = self.place(head, index);
            self.places[place] = entry;
        } else {
            for later in index + 1..len {
                let (from, to) = (self.place(head, later), self.place(head, later - 1));
                self.places[to] = self.places[from];
            }
            len -= 1;
        }
        self.keep(head, len, self.used() - units);
    }

    /// Where the oldest entry is, counted from the first that is an entry's, and how many
    /// there are.
    #[inline]
    fn bookkeeping(&self) -> (usize, usize) {
        match self.places.first() {
            Some(bookkeeping) => {
                ((bookkeeping.newest >> 32) as usize, bookkeeping.newest as u32 as usize)
            }
            None => (0, 0),
        }
    }

    #[inline]
    fn keep(&mut self, head: usize, len: usize, used: u32) {
        if let Some(bookkeeping) = self.places.first_mut() {
            *bookkeeping = Entry { newest: (head as u64) << 32 | len as u64, units: used };
        }
    }

    #[inline]
    fn place(&self, head: usize, index: usize) -> usize {
        let room = self.places.len() - 1;
        let at = head + index;
        1 + if at < room { at } else { at - room }
    }

    #[cold]
    fn grow(&mut self) {
        let mut places = vec![Entry::default(); FIRST_PLACES.max(self.places.len() * 2)];
        for (place, entry) in places[1..].iter_mut().zip(self.iter()) {
            *place = entry;
        }
        let (len, used) = (self.len(), self.used());
        self.places = places.into_boxed_slice();
        self.keep(0, len, used);
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
