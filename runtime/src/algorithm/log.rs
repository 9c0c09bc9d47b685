//! Admissions in the order of their time, in a ring.

use std::slice;

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
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    places: Places,
    /// The place of the oldest.
    head: u16,
    /// How many there are: hardly more than a window's resolution, or twice that if the limit was
    /// changed.
    len: u16,
    used: u32,
}

/// Where entries are: in the least room in which fit all that there were when it was made, and all
/// that came since.
#[derive(Clone, Debug)]
enum Places {
    One(Packed),
    Steps(Base, ThinVec<u32>),
    Packed(ThinVec<Packed>),
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

/// What entries of one unit count their microseconds from, for up to 71 minutes: of most limits
/// that is all of them. In 2²⁰ µs, so that it takes no more room than there is; until the year 2112.
#[derive(Clone, Copy, Debug)]
struct Base(u32);

impl Base {
    const BITS: u32 = 20;

    /// At or shortly before that.
    fn of(instant: Micros) -> Option<Self> {
        u32::try_from(instant >> Self::BITS).ok().map(Self)
    }

    #[inline]
    fn start(self) -> Micros {
        Micros::from(self.0) << Self::BITS
    }

    #[inline]
    fn step(self, Entry { newest, units }: Entry) -> Option<u32> {
        let step = newest.checked_sub(self.start()).filter(|_| units == 1)?;
        u32::try_from(step).ok()
    }

    #[inline]
    fn entry(self, step: u32) -> Entry {
        Entry { newest: self.start() + Micros::from(step), units: 1 }
    }
}

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
            Places::Steps(base, places) => {
                base.entry(places[place(self.head, index, places.len())])
            }
            Places::Packed(places) => places[place(self.head, index, places.len())].entry(),
            Places::Wide(places) => places[place(self.head, index, places.len())],
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> + Clone {
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
        if !self.put(index, entry) {
            self.refit(index, entry);
        }
    }

    /// Says whether it fits.
    #[inline]
    fn put(&mut self, index: usize, entry: Entry) -> bool {
        let head = self.head;
        match &mut self.places {
            Places::One(place) => put(slice::from_mut(place), 0, 0, Packed::of(entry)),
            Places::Steps(base, places) => put(places, head, index, base.step(entry)),
            Places::Packed(places) => put(places, head, index, Packed::of(entry)),
            Places::Wide(places) => put(places, head, index, Some(entry)),
        }
    }

    /// Sets what does not fit as the others are kept.
    #[cold]
    fn refit(&mut self, index: usize, entry: Entry) {
        let entries =
            (0..self.len()).filter_map(|at| if at == index { Some(entry) } else { self.get(at) });
        let width = Width::of(entries);
        match (&mut self.places, width) {
            // Once in a while, and without an allocation.
            (Places::Steps(base, places), Width::Steps(later)) => {
                for at in 0..usize::from(self.len) {
                    let step = place(self.head, at, places.len());
                    let is = if at == index { entry } else { base.entry(places[step]) };
                    places[step] = later.step(is).unwrap_or_default();
                }
                *base = later;
            }
            _ => {
                self.move_to(width, self.places.len());
                self.set(index, entry);
            }
        }
    }

    /// To twice the memory.
    #[cold]
    fn grow(&mut self) {
        self.move_to(Width::of(self.iter()), self.places.len() + 1);
    }

    /// Moves all entries that fit into that width to at least `count` places.
    fn move_to(&mut self, width: Width, count: usize) {
        let places = width.places(count);
        let mut moved = Self { places, head: 0, len: self.len, used: self.used };
        for (at, entry) in self.iter().enumerate() {
            moved.put(at, entry);
        }
        *self = moved;
    }
}

impl Places {
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

/// How much room an entry takes.
#[derive(Clone, Copy, Debug)]
enum Width {
    Steps(Base),
    Packed,
    Wide,
}

impl Width {
    /// The least in which all of them fit.
    fn of(mut entries: impl Iterator<Item = Entry> + Clone) -> Self {
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

    /// At least `count` of them.
    fn places(self, count: usize) -> Places {
        match self {
            Self::Steps(base) => Places::Steps(base, room(count)),
            Self::Packed => Places::Packed(room(count)),
            Self::Wide => Places::Wide(room(count)),
        }
    }
}

/// Places for so many, or somewhat more: as many as fit, with the vector's header, into 64 bytes or
/// that doubled.
fn room<T: Clone + Default>(count: usize) -> ThinVec<T> {
    const HEADER: usize = 16;
    let bytes = (HEADER + count * size_of::<T>()).next_power_of_two().max(64);
    thin_vec![T::default(); (bytes - HEADER) / size_of::<T>()]
}

/// Says whether there is something to put there.
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

    /// One that steps can reach, and one that they cannot.
    const PERIODS: [Micros; 2] = [3_600_000_000, 1 << 34];

    /// Beside a queue that does the same.
    fn same(log: &Log, queue: &VecDeque<Entry>) {
        assert_eq!(log.iter().collect::<Vec<_>>(), queue.iter().copied().collect::<Vec<_>>());
        assert_eq!((log.front(), log.back()), (queue.front().copied(), queue.back().copied()));
        assert_eq!(log.used(), queue.iter().map(|entry| entry.units).sum::<u32>());
    }

    /// From the first time that is given, after a pause each. Most entries are of one unit; some
    /// fit into no step or cannot be packed, for their units or for their time.
    fn steps() -> impl Strategy<Value = (Micros, Vec<(u8, Micros, u32)>)> {
        let first = prop::sample::select(&[0, (1 << 52) - 50, (1 << 53) - 50]);
        let pause = prop_oneof![60 => 0_u64..2, 10 => 0_u64..1 << 28, 1 => 0_u64..1 << 34];
        let units = prop_oneof![1000 => Just(1_u32), 10 => 1_u32..9, 1 => 2_000_u32..3_000];
        let step = prop_oneof![50 => 0_u8..3, 20 => Just(3_u8), 2 => 4_u8..7];
        (first, prop::collection::vec((step, pause, units), 0..400))
    }

    proptest! {
        #[test]
        fn it_is_a_queue((first, steps) in steps(), period in prop::sample::select(&PERIODS)) {
            let (mut log, mut queue) = (Log::default(), VecDeque::<Entry>::new());
            let mut newest = first;
            for (step, pause, units) in steps {
                newest += pause;
                let entry = Entry { newest, units };
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
                        *back = Entry { newest, units: back.units + units };
                        log.add_to_back(newest, units);
                    }
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
