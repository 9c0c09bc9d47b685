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
/// A store holds very many of these, and with many keys it is access to memory that a check costs.
/// So it takes little room where it is, its entries take as little as they can, and nothing is
/// allocated for a single one: most subjects of a service come once.
#[derive(Clone, Debug)]
pub(super) enum Log {
    /// None, if that has no units.
    One(Entry),
    /// Of one unit each, some perhaps of one time, and none older than the newest by 2³² µs, which is
    /// 71 minutes: so the lower half of its time is enough.
    Steps {
        span: Span,
        newest: Micros,
        ring: ThinVec<u32>,
    },
    /// Of those that [`Packed::of`] can pack.
    Packed {
        span: Span,
        used: u32,
        ring: ThinVec<Packed>,
    },
    Wide {
        span: Span,
        used: u32,
        ring: ThinVec<Entry>,
    },
}

/// Where in a ring the entries are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    /// The place of the oldest.
    head: u16,
    /// How many there are: at most one more than a window's resolution.
    len: u16,
}

impl Span {
    #[inline]
    fn len(self) -> usize {
        self.len.into()
    }

    /// The place of the entry that `index` others are older than, in a ring of `count`.
    #[inline]
    fn place(self, index: usize, count: usize) -> usize {
        let at = usize::from(self.head) + index;
        if at < count { at } else { at - count }
    }

    #[inline]
    fn pop_front(&mut self, count: usize) {
        self.head = if usize::from(self.head) + 1 < count { self.head + 1 } else { 0 };
        self.len -= 1;
    }

    /// Puts `entry` behind the others, if there is room for it.
    #[inline]
    fn push_back<T>(&mut self, ring: &mut [T], entry: T) -> bool {
        let has_room = self.len() < ring.len();
        if has_room {
            ring[self.place(self.len(), ring.len())] = entry;
            self.len += 1;
        }
        has_room
    }

    /// Moves those behind the one at `index` into its place.
    fn remove<T: Copy>(&mut self, ring: &mut [T], index: usize) {
        for later in index + 1..self.len() {
            ring[self.place(later - 1, ring.len())] = ring[self.place(later, ring.len())];
        }
        self.len -= 1;
    }
}

/// An entry in one word: the time above, the units below. All entries of a limit that has an entry
/// for each admission can be packed, until the year 2255.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packed(u64);

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

/// The entry of one unit whose time has that lower half, and is not after `newest`.
#[inline]
fn step(newest: Micros, low: u32) -> Entry {
    let age = (newest as u32).wrapping_sub(low);
    Entry { newest: newest - Micros::from(age), units: 1 }
}

impl Default for Log {
    fn default() -> Self {
        Self::One(Entry::default())
    }
}

impl Log {
    /// The sum of all entries' units.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        match self {
            Self::One(entry) => entry.units,
            Self::Steps { span, .. } => span.len.into(),
            Self::Packed { used, .. } | Self::Wide { used, .. } => *used,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(entry) => usize::from(entry.units > 0),
            Self::Steps { span, .. } | Self::Packed { span, .. } | Self::Wide { span, .. } => {
                span.len()
            }
        }
    }

    #[inline]
    pub(super) fn front(&self) -> Option<Entry> {
        self.get(0)
    }

    #[inline]
    pub(super) fn back(&self) -> Option<Entry> {
        match self {
            // It need not be looked for.
            Self::Steps { span, newest, .. } => {
                (span.len > 0).then_some(Entry { newest: *newest, units: 1 })
            }
            _ => self.get(self.len().checked_sub(1)?),
        }
    }

    /// The entry that `index` others are older than.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Entry> {
        (index < self.len()).then(|| match self {
            Self::One(entry) => *entry,
            Self::Steps { span, newest, ring } => {
                step(*newest, ring[span.place(index, ring.len())])
            }
            Self::Packed { span, ring, .. } => ring[span.place(index, ring.len())].entry(),
            Self::Wide { span, ring, .. } => ring[span.place(index, ring.len())],
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// Adds an entry, of at least one unit. No other is older than it by more than `reach`, which
    /// is the same for all that are added, or later.
    #[inline]
    pub(super) fn push_back(&mut self, entry: Entry, reach: Micros) {
        if !self.takes(entry, reach) {
            self.make_room(entry, reach);
        }
    }

    /// Adds to the newest entry, which is of the newer time then.
    pub(super) fn add_to_back(&mut self, mut entry: Entry, reach: Micros) {
        if let Some(back) = self.back() {
            self.pop_back();
            entry.units += back.units;
        }
        self.push_back(entry, reach);
    }

    #[inline]
    pub(super) fn pop_front(&mut self) {
        let Some(front) = self.front() else { return };
        match self {
            Self::One(entry) => *entry = Entry::default(),
            Self::Steps { span, ring, .. } => span.pop_front(ring.len()),
            Self::Packed { span, used, ring } => {
                span.pop_front(ring.len());
                *used -= front.units;
            }
            Self::Wide { span, used, ring } => {
                span.pop_front(ring.len());
                *used -= front.units;
            }
        }
    }

    pub(super) fn pop_back(&mut self) {
        if let Some(back) = self.back() {
            self.take(self.len() - 1, back.units);
        }
    }

    /// Takes `units`, no more than it has, from the entry at `index`, which goes with its last.
    pub(super) fn take(&mut self, index: usize, units: u32) {
        let Some(mut entry) = self.get(index) else { return };
        entry.units -= units;
        let goes = entry.units == 0;
        match self {
            Self::One(only) => *only = if goes { Entry::default() } else { entry },
            Self::Steps { span, newest, ring } if goes => {
                if index > 0 && index + 1 == span.len() {
                    *newest = step(*newest, ring[span.place(index - 1, ring.len())]).newest;
                }
                span.remove(ring, index);
            }
            // Its entries have no more than one.
            Self::Steps { .. } => {}
            Self::Packed { span, used, ring } => {
                *used -= units;
                if goes {
                    span.remove(ring, index);
                } else if let Some(packed) = Packed::of(entry) {
                    let at = span.place(index, ring.len());
                    ring[at] = packed;
                }
            }
            Self::Wide { span, used, ring } => {
                *used -= units;
                if goes {
                    span.remove(ring, index);
                } else {
                    let at = span.place(index, ring.len());
                    ring[at] = entry;
                }
            }
        }
    }

    /// Adds an entry, if it has room for such a one.
    #[inline]
    fn takes(&mut self, entry: Entry, reach: Micros) -> bool {
        match self {
            Self::One(only) => {
                let is_first = only.units == 0;
                if is_first {
                    *only = entry;
                }
                is_first
            }
            Self::Steps { span, newest, ring } => {
                let fits = entry.units == 1 && reach <= u32::MAX.into();
                // The lower half.
                let takes = fits && span.push_back(ring, entry.newest as u32);
                if takes {
                    *newest = entry.newest;
                }
                takes
            }
            Self::Packed { span, used, ring } => {
                let takes = Packed::of(entry).is_some_and(|packed| span.push_back(ring, packed));
                *used += if takes { entry.units } else { 0 };
                takes
            }
            Self::Wide { span, used, ring } => {
                let takes = span.push_back(ring, entry);
                *used += if takes { entry.units } else { 0 };
                takes
            }
        }
    }

    /// Moves all to a ring of the narrowest entries that can hold them and this one.
    #[cold]
    fn make_room(&mut self, entry: Entry, reach: Micros) {
        let count = self.len() + 1;
        for mut roomier in [Self::steps(count), Self::packed(count)] {
            if self.iter().chain([entry]).all(|entry| roomier.takes(entry, reach)) {
                *self = roomier;
                return;
            }
        }
        let mut wide = Self::wide(count);
        for entry in self.iter().chain([entry]) {
            wide.takes(entry, reach);
        }
        *self = wide;
    }

    fn steps(count: usize) -> Self {
        Self::Steps { span: Span::default(), newest: 0, ring: room(count) }
    }

    fn packed(count: usize) -> Self {
        Self::Packed { span: Span::default(), used: 0, ring: room(count) }
    }

    fn wide(count: usize) -> Self {
        Self::Wide { span: Span::default(), used: 0, ring: room(count) }
    }
}

/// A ring for so many, or somewhat more: as many as fit, with the vector's header, into 64 bytes or
/// that doubled.
fn room<T: Clone + Default>(count: usize) -> ThinVec<T> {
    const HEADER: usize = 16;
    let bytes = (HEADER + count * size_of::<T>()).next_power_of_two().max(64);
    thin_vec![T::default(); (bytes - HEADER) / size_of::<T>()]
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// The longest of which steps can be made, and one of which they cannot.
    const REACHES: [Micros; 2] = [u32::MAX as Micros, 1 << 34];

    /// Beside a queue that does the same.
    fn same(log: &Log, queue: &VecDeque<Entry>) {
        assert_eq!(log.iter().collect::<Vec<_>>(), queue.iter().copied().collect::<Vec<_>>());
        assert_eq!((log.front(), log.back()), (queue.front().copied(), queue.back().copied()));
        assert_eq!(log.used(), queue.iter().map(|entry| entry.units).sum::<u32>());
    }

    /// From the first time that is given, after a pause each. Most entries are of one unit; some
    /// cannot be packed, for their units or for their time.
    fn steps() -> impl Strategy<Value = (Micros, Vec<(u8, Micros, u32)>)> {
        let first = prop_oneof![3 => Just(0), 1 => Just((1 << 53) - 50)];
        let pause = prop_oneof![60 => 0_u64..2, 5 => 0_u64..1 << 26, 1 => 0_u64..1 << 34];
        let units = prop_oneof![1000 => Just(1_u32), 10 => 1_u32..9, 1 => 2_000_u32..3_000];
        let step = prop_oneof![50 => 0_u8..3, 20 => Just(3_u8), 1 => Just(4_u8), 2 => Just(5_u8)];
        (first, prop::collection::vec((step, pause, units), 0..400))
    }

    proptest! {
        #[test]
        fn it_is_a_queue((first, steps) in steps(), reach in prop::sample::select(&REACHES)) {
            let (mut log, mut queue) = (Log::default(), VecDeque::<Entry>::new());
            let mut newest = first;
            for (step, pause, units) in steps {
                newest += pause;
                let entry = Entry { newest, units };
                while queue.front().is_some_and(|oldest| oldest.newest + reach < newest) {
                    log.pop_front();
                    queue.pop_front();
                }
                match step {
                    0..3 => {
                        log.push_back(entry, reach);
                        queue.push_back(entry);
                    }
                    3 => {
                        log.pop_front();
                        queue.pop_front();
                    }
                    4 => {
                        let back = queue.pop_back().map_or(0, |back| back.units);
                        log.add_to_back(entry, reach);
                        queue.push_back(Entry { newest, units: back + units });
                    }
                    _ if queue.is_empty() => log.pop_back(),
                    _ => {
                        // One of them, most often the last.
                        let index = queue.len() - 1 - pause as usize % queue.len();
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
