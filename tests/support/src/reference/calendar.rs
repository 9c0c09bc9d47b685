//! Windows that open and end when an almanac says, or, beside such, when they were opened: at most the
//! limit in each. What is owed beyond it fills the windows that follow.

use super::fixed_window::FixedWindow;
use super::{Definition, MOST, Numbers};
use crate::almanac::Almanac;
use tollgate::Quota;

/// A limit for each window of an almanac, or of a period in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarNumbers {
    Of(u32, Almanac),
    Plain(Numbers),
}

impl CalendarNumbers {
    pub fn numbers(&self) -> Numbers {
        match self {
            Self::Of(limit, almanac) => Numbers::new(*limit, almanac.longest()),
            Self::Plain(numbers) => *numbers,
        }
    }

    pub fn quota(&self) -> Quota {
        match self {
            Self::Of(limit, almanac) => almanac.quota(*limit),
            Self::Plain(numbers) => numbers.quota(),
        }
    }

    pub(super) fn define(&self) -> Box<dyn Definition> {
        match self {
            Self::Of(_, almanac) => Box::new(Windows {
                numbers: self.numbers(),
                almanac: *almanac,
                opened: 0,
                charges: Vec::new(),
                moved: 0,
                owed: 0,
            }),
            Self::Plain(numbers) => Box::new(FixedWindow::new(*numbers)),
        }
    }
}

#[derive(Clone, Debug)]
struct Windows {
    numbers: Numbers,
    almanac: Almanac,
    /// An instant in the window that the charges are in.
    opened: u64,
    charges: Vec<(u64, u64)>,
    /// The part of a debt that has taken the place of what was given back.
    moved: u64,
    owed: u64,
}

impl Windows {
    fn charged(&self) -> u64 {
        self.charges.iter().map(|(_, units)| units).sum::<u64>() + self.moved
    }

    /// The window of `now`: one after the other takes what it can of what is owed.
    fn at(&self, now: u64) -> Self {
        let limit = u64::from(self.numbers.limit);
        let mut window = self.clone();
        if self.charged() == 0 && self.owed == 0 {
            window.opened = now;
            return window;
        }
        let (_, mut end) = self.almanac.window(self.opened);
        if now < end {
            return window;
        }
        let mut owed = self.owed.min(self.numbers.longest_owed());
        loop {
            let taken = owed.min(limit);
            owed -= taken;
            window.charges.clear();
            (window.moved, window.owed, window.opened) = (taken, owed, end);
            if taken == 0 {
                window.opened = now;
                return window;
            }
            (_, end) = self.almanac.window(end);
            if now < end {
                return window;
            }
        }
    }
}

impl Definition for Windows {
    fn admits(&self, now: u64, units: u64) -> bool {
        let window = self.at(now);
        window.owed == 0 && window.charged() + units <= self.numbers.limit.into()
    }

    fn charge(&mut self, now: u64, units: u64) {
        *self = self.at(now);
        self.charges.push((now, units));
    }

    fn give_back(&mut self, now: u64, stamp: u64, units: u64, back: u64) -> bool {
        let mut window = self.at(now);
        let Some(index) = window.charges.iter().position(|charge| *charge == (stamp, units)) else {
            return false;
        };
        window.charges[index].1 -= back;
        let moved = window.owed.min(back);
        window.owed -= moved;
        window.moved += moved;
        *self = window;
        true
    }

    fn owe(&mut self, now: u64, units: u64) {
        *self = self.at(now);
        let limit = u64::from(self.numbers.limit);
        let room = if self.owed > 0 { 0 } else { limit.saturating_sub(self.charged()) };
        let fits = room.min(units);
        self.moved += fits;
        self.owed = (self.owed + units - fits).min(MOST).min(self.numbers.longest_owed());
    }

    fn relimit(&mut self, limit: u32) {
        self.numbers.limit = limit;
    }
}
