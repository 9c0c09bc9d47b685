//! A ring buffer of admissions, ordered by time.

use std::slice;

use thin_vec::{ThinVec, thin_vec};

use crate::micros::Timestamp;

/// The admissions at one time, or within one granule, which share an entry of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogEntry {
    /// The time of the newest admission in this entry.
    pub(super) newest: Timestamp,
    pub(super) units: u32,
}

/// A list of entries, the oldest first, and the sum of their units.
///
/// A store contains very many logs, and with many keys a check mostly waits for memory. So this
/// struct is small, and its entries are packed as densely as their values allow. A single entry
/// needs no allocation, because most subjects of a service make only one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    storage: Storage,
    /// The index of the oldest entry in the storage.
    head: u16,
    /// The number of entries. It is at most little more than the number of granules in a period, or
    /// twice that after a change of the limit.
    len: u16,
    /// The sum of the units of all entries.
    used: u32,
}

/// The memory of the entries. The variant is the one with the smallest entries into which all
/// entries fit that have been in the log since the variant was chosen.
#[derive(Clone, Debug)]
enum Storage {
    One(Packed),
    Steps(Base, ThinVec<u32>),
    Packed(ThinVec<Packed>),
    Wide(ThinVec<LogEntry>),
}

impl Default for Storage {
    fn default() -> Self {
        Self::One(Packed::default())
    }
}

/// An entry in one word of 64 bits: the time in the upper 53 bits, the units in the lower 11.
/// Without granules, every entry fits until the year 2255.
#[derive(Clone, Copy, Debug, Default)]
struct Packed(u64);

impl Packed {
    const UNIT_BITS: u32 = 11;

    #[inline]
    fn of(LogEntry { newest, units }: LogEntry) -> Option<Self> {
        let micros = newest.micros();
        let fits = micros >> (u64::BITS - Self::UNIT_BITS) == 0 && units >> Self::UNIT_BITS == 0;
        fits.then_some(Self(micros << Self::UNIT_BITS | u64::from(units)))
    }

    #[inline]
    fn entry(self) -> LogEntry {
        // Only the lowest 11 bits are left, which fit into `u32`.
        let units = (self.0 & ((1 << Self::UNIT_BITS) - 1)) as u32;
        LogEntry { newest: Timestamp::from_micros(self.0 >> Self::UNIT_BITS), units }
    }
}

/// The time from which entries of one unit count their microseconds in [`Storage::Steps`]. An entry
/// can be up to 71 minutes later, which is enough for all entries under most limits. The base is
/// stored in units of 2²⁰ µs, so that it fits beside the tag of the variant. It can represent times
/// until the year 2112.
#[derive(Clone, Copy, Debug)]
struct Base(u32);

impl Base {
    const BITS: u32 = 20;

    /// Returns the last base at or before a time; `None` if the base does not fit into 32 bits.
    fn of(instant: Timestamp) -> Option<Self> {
        u32::try_from(instant.micros() >> Self::BITS).ok().map(Self)
    }

    #[inline]
    fn start(self) -> u64 {
        u64::from(self.0) << Self::BITS
    }

    #[inline]
    fn step(self, LogEntry { newest, units }: LogEntry) -> Option<u32> {
        let step = newest.micros().checked_sub(self.start()).filter(|_| units == 1)?;
        u32::try_from(step).ok()
    }

    #[inline]
    fn entry(self, step: u32) -> LogEntry {
        LogEntry { newest: Timestamp::from_micros(self.start() + u64::from(step)), units: 1 }
    }
}

impl Log {
    /// Returns the sum of all entries' units.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    #[inline]
    pub(super) fn front(&self) -> Option<LogEntry> {
        self.get(0)
    }

    #[inline]
    pub(super) fn back(&self) -> Option<LogEntry> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Returns the entry at `index`, where the oldest entry has index 0; `None` if there are not as
    /// many entries.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<LogEntry> {
        (index < self.len()).then(|| match &self.storage {
            Storage::One(packed) => packed.entry(),
            Storage::Steps(base, places) => {
                base.entry(places[place(self.head, index, places.len())])
            }
            Storage::Packed(places) => places[place(self.head, index, places.len())].entry(),
            Storage::Wide(places) => places[place(self.head, index, places.len())],
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = LogEntry> + Clone {
        (0..self.len()).map_while(|index| self.get(index))
    }

    #[inline]
    pub(super) fn push_back(&mut self, entry: LogEntry) {
        if self.len() == self.storage.len() {
            self.grow();
        }
        self.len += 1;
        self.set(self.len() - 1, entry);
        self.used += entry.units;
    }

    /// Adds `units` to the newest entry, and sets its time to `newest`.
    #[inline]
    pub(super) fn add_to_back(&mut self, newest: Timestamp, units: u32) {
        if let Some(back) = self.back() {
            self.set(self.len() - 1, LogEntry { newest, units: back.units + units });
            self.used += units;
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) {
        if let Some(entry) = self.front() {
            self.head =
                if usize::from(self.head) + 1 < self.storage.len() { self.head + 1 } else { 0 };
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

    /// Subtracts `units` from the entry at `index`, which must have at least as many. Removes the
    /// entry if it has none left.
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
    fn set(&mut self, index: usize, entry: LogEntry) {
        if !self.put(index, entry) {
            self.refit(index, entry);
        }
    }

    /// Stores an entry at `index`. Returns `false`, and stores nothing, if the entry does not fit
    /// into the present variant of the storage.
    #[inline]
    fn put(&mut self, index: usize, entry: LogEntry) -> bool {
        let head = self.head;
        match &mut self.storage {
            Storage::One(place) => put(slice::from_mut(place), 0, 0, Packed::of(entry)),
            Storage::Steps(base, places) => put(places, head, index, base.step(entry)),
            Storage::Packed(places) => put(places, head, index, Packed::of(entry)),
            Storage::Wide(places) => put(places, head, index, Some(entry)),
        }
    }

    /// Stores an entry that does not fit into the present variant, after moving all entries to a
    /// variant into which they fit.
    #[cold]
    fn refit(&mut self, index: usize, entry: LogEntry) {
        let entries =
            (0..self.len()).filter_map(|at| if at == index { Some(entry) } else { self.get(at) });
        let width = Width::of(entries);
        match (&mut self.storage, width) {
            // Only a later base is needed. This happens once in a while, and the present memory is
            // reused.
            (Storage::Steps(base, places), Width::Steps(later)) => {
                for at in 0..usize::from(self.len) {
                    let step = place(self.head, at, places.len());
                    let is = if at == index { entry } else { base.entry(places[step]) };
                    places[step] = later.step(is).unwrap_or_default();
                }
                *base = later;
            }
            _ => {
                self.move_to(width, self.storage.len());
                self.set(index, entry);
            }
        }
    }

    /// Moves the entries to about twice as much memory.
    #[cold]
    fn grow(&mut self) {
        self.move_to(Width::of(self.iter()), self.storage.len() + 1);
    }

    /// Moves all entries to a new storage of this width with at least `count` places. The entries
    /// must fit into the width.
    fn move_to(&mut self, width: Width, count: usize) {
        let storage = width.storage(count);
        let mut moved = Self { storage, head: 0, len: self.len, used: self.used };
        for (at, entry) in self.iter().enumerate() {
            moved.put(at, entry);
        }
        *self = moved;
    }
}

impl Storage {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Steps(_, places) => places.len(),
            Self::Packed(places) => places.len(),
            Self::Wide(places) => places.len(),
        }
    }
}

/// The size of one entry in memory: 4 bytes for `Steps`, 8 for `Packed` and 16 for `Wide`.
#[derive(Clone, Copy, Debug)]
enum Width {
    Steps(Base),
    Packed,
    Wide,
}

impl Width {
    /// Returns the smallest width into which each of the entries fits.
    fn of(mut entries: impl Iterator<Item = LogEntry> + Clone) -> Self {
        let oldest = entries.clone().map(|entry| entry.newest).min().unwrap_or_default();
        if let Some(base) = Base::of(oldest)
            && entries.clone().all(|entry| base.step(entry).is_some())
        {
            Self::Steps(base)
        } else if entries.all(|entry| Packed::of(entry).is_some()) {
            Self::Packed
        } else {
            Self::Wide
        }
    }

    /// Creates an empty storage of this width with at least `count` places.
    fn storage(self, count: usize) -> Storage {
        match self {
            Self::Steps(base) => Storage::Steps(base, room(count)),
            Self::Packed => Storage::Packed(room(count)),
            Self::Wide => Storage::Wide(room(count)),
        }
    }
}

/// Creates a vector of at least `count` places. Its allocation, with the vector's header, is a
/// power of two of at least 64 bytes, and has as many places as fit into that.
fn room<T: Clone + Default>(count: usize) -> ThinVec<T> {
    const HEADER: usize = 16;
    let bytes = (HEADER + count * size_of::<T>()).next_power_of_two().max(64);
    thin_vec![T::default(); (bytes - HEADER) / size_of::<T>()]
}

/// Stores `entry` at `index` of a ring that starts at `head`. Returns `false`, and stores nothing,
/// if it is `None`.
#[inline]
fn put<T>(places: &mut [T], head: u16, index: usize, entry: Option<T>) -> bool {
    match entry {
        Some(entry) => {
            let at = place(head, index, places.len());
            places[at] = entry;
            true
        }
        None => false,
    }
}

/// Returns the position of the entry at `index` in a ring of `count` places that starts at `head`.
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
    use crate::micros::TimeSpan;

    /// A period that is short enough for [`Storage::Steps`], and one that is too long for it.
    const PERIODS: [u64; 2] = [3_600_000_000, 1 << 34];

    /// Asserts that the log and the queue have the same entries.
    fn assert_same(log: &Log, queue: &VecDeque<LogEntry>) {
        assert_eq!(log.iter().collect::<Vec<_>>(), queue.iter().copied().collect::<Vec<_>>());
        assert_eq!((log.front(), log.back()), (queue.front().copied(), queue.back().copied()));
        assert_eq!(log.used(), queue.iter().map(|entry| entry.units).sum::<u32>());
    }

    /// Generates the time of the first step, and the steps: an operation, the pause before it in
    /// microseconds, and a number of units. Most entries have one unit. Some do not fit into
    /// [`Storage::Steps`] or [`Packed`], because of their units or their time.
    fn steps() -> impl Strategy<Value = (u64, Vec<(u8, u64, u32)>)> {
        let first = prop::sample::select(&[0, (1 << 52) - 50, (1 << 53) - 50]);
        let pause = prop_oneof![60 => 0_u64..2, 10 => 0_u64..1 << 28, 1 => 0_u64..1 << 34];
        let units = prop_oneof![1000 => Just(1_u32), 10 => 1_u32..9, 1 => 2_000_u32..3_000];
        let step = prop_oneof![50 => 0_u8..3, 20 => Just(3_u8), 2 => 4_u8..7];
        (first, prop::collection::vec((step, pause, units), 0..400))
    }

    proptest! {
        #[test]
        fn it_is_a_queue((first, steps) in steps(), period in prop::sample::select(&PERIODS)) {
            let (mut log, mut queue) = (Log::default(), VecDeque::<LogEntry>::new());
            let period = TimeSpan::from_micros(period);
            let mut newest = Timestamp::from_micros(first);
            for (step, pause, units) in steps {
                newest = newest + TimeSpan::from_micros(pause);
                let entry = LogEntry { newest, units };
                while queue.front().is_some_and(|oldest| oldest.newest + period <= newest) {
                    log.pop_front();
                    queue.pop_front();
                }
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
                    5 => {
                        let back = queue.back_mut().unwrap();
                        *back = LogEntry { newest, units: back.units + units };
                        log.add_to_back(newest, units);
                    }
                    _ => {
                        // Takes units from any entry, most often from the newest one.
                        let index = queue.len() - 1 - pause as usize % queue.len();
                        let taken = units.min(queue[index].units);
                        log.take(index, taken);
                        queue[index].units -= taken;
                        queue.retain(|entry| entry.units > 0);
                    }
                }
                assert_same(&log, &queue);
            }
        }
    }
}
