//! In any half-open window as long as the period, at most the limit.

use super::{Definition, MOST, Numbers};

/// Up to this limit each admission counts by itself; above, those of a granule together.
const RESOLUTION: u64 = 1_024;

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    let Numbers { limit, period, .. } = numbers;
    let limit = u64::from(limit);
    if limit <= RESOLUTION {
        Box::new(SlidingWindow { limit, period, admissions: Vec::new() })
    } else {
        let granule = period.div_ceil(RESOLUTION);
        Box::new(Granules { limit, period, granule, granules: Vec::new() })
    }
}

/// An admission counts for one period: at `at`, and no longer at `at + period`.
struct SlidingWindow {
    limit: u64,
    period: u64,
    admissions: Vec<Admission>,
}

struct Admission {
    at: u64,
    units: u64,
}

impl Definition for SlidingWindow {
    fn admits(&self, now: u64, units: u64) -> bool {
        let counting = self.admissions.iter().filter(|admission| admission.at + self.period > now);
        counting.map(|admission| admission.units).sum::<u64>() + units <= self.limit
    }

    fn charge(&mut self, now: u64, units: u64) {
        self.admissions.push(Admission { at: now, units });
    }

    fn give_back(&mut self, now: u64, stamp: u64, units: u64, back: u64) -> bool {
        let counts = stamp + self.period > now;
        let same = |admission: &&mut Admission| admission.at == stamp && admission.units == units;
        let Some(admission) = self.admissions.iter_mut().find(same).filter(|_| counts) else {
            return false;
        };
        admission.units -= back;
        self.admissions.retain(|admission| admission.units > 0);
        true
    }

    fn owe(&mut self, now: u64, units: u64) {
        let counting = self.admissions.iter().filter(|admission| admission.at + self.period > now);
        let counted: u64 = counting.map(|admission| admission.units).sum();
        let units = units.min(MOST - counted);
        if units > 0 {
            self.admissions.push(Admission { at: now, units });
        }
    }

    fn relimit(&mut self, limit: u32) {
        self.limit = limit.into();
    }
}

/// The admissions of one granule count until one period after the newest of them.
struct Granules {
    limit: u64,
    period: u64,
    granule: u64,
    granules: Vec<Granule>,
}

struct Granule {
    index: u64,
    newest: u64,
    units: u64,
}

impl Definition for Granules {
    fn admits(&self, now: u64, units: u64) -> bool {
        let counting = self.granules.iter().filter(|granule| granule.newest + self.period > now);
        counting.map(|granule| granule.units).sum::<u64>() + units <= self.limit
    }

    fn charge(&mut self, now: u64, units: u64) {
        let index = now / self.granule;
        match self.granules.iter_mut().find(|granule| granule.index == index) {
            Some(granule) => {
                granule.newest = now;
                granule.units += units;
            }
            None => self.granules.push(Granule { index, newest: now, units }),
        }
    }

    fn give_back(&mut self, now: u64, stamp: u64, _: u64, back: u64) -> bool {
        let index = stamp / self.granule;
        let granule = self.granules.iter_mut().find(|granule| granule.index == index);
        let Some(granule) = granule else { return false };
        if stamp + self.period <= now || granule.units < back {
            return false;
        }
        granule.units -= back;
        self.granules.retain(|granule| granule.units > 0);
        true
    }

    fn owe(&mut self, now: u64, units: u64) {
        let counting = self.granules.iter().filter(|granule| granule.newest + self.period > now);
        let units = units.min(MOST - counting.map(|granule| granule.units).sum::<u64>());
        if units > 0 {
            self.charge(now, units);
        }
    }
}
