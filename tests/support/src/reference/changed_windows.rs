//! Fixed windows of a policy whose limits change, and the order of its quotas: the window of a period
//! goes on under another limit, and what it owes stays as it was.

use tollgate::{Algorithm, Outcome};

use super::fixed_window::FixedWindow;
use super::{Definition, Expected, Numbers, Reference};

/// The windows of the form in force.
#[derive(Clone, Debug, Default)]
pub struct ChangedWindows {
    windows: Vec<FixedWindow>,
}

impl ChangedWindows {
    pub fn is_form(&self, numbers: &[Numbers]) -> bool {
        self.windows.iter().map(FixedWindow::numbers).eq(numbers.iter().copied())
    }

    pub fn is_unused(&self, now: u64) -> bool {
        self.windows.iter().all(|window| window.is_unused(now))
    }

    /// The windows of a form: of several with one period, the first goes on. Of windows that are not
    /// in use, none does: by another limit, a debt that is worked off would not be.
    fn of(&self, numbers: &[Numbers], now: u64) -> Vec<FixedWindow> {
        if self.is_form(numbers) {
            return self.windows.clone();
        }
        if self.is_unused(now) {
            return numbers.iter().map(|numbers| FixedWindow::new(*numbers)).collect();
        }
        let window = |numbers: &Numbers| {
            let same = |window: &&FixedWindow| window.numbers().period == numbers.period;
            let Some(window) = self.windows.iter().find(same) else {
                return FixedWindow::new(*numbers);
            };
            let mut window = window.clone();
            window.relimit(numbers.limit);
            window
        };
        numbers.iter().map(window).collect()
    }

    fn judge(&self, numbers: &[Numbers], now: u64) -> Reference {
        let windows = self.of(numbers, now).into_iter();
        let windows = windows.map(|window| Box::new(window) as Box<dyn Definition>);
        Reference::of(Algorithm::FixedWindow, numbers, windows.collect())
    }

    pub fn charge(&mut self, numbers: &[Numbers], now: u64, cost: u32) -> Expected {
        let expected = self.judge(numbers, now).charge(now, cost);
        if expected.outcome == Outcome::Allowed && cost > 0 {
            self.windows = self.of(numbers, now);
            self.windows.iter_mut().for_each(|window| window.charge(now, cost.into()));
            return expected;
        }
        self.by_other_limits(expected, now)
    }

    pub fn peek(&self, numbers: &[Numbers], now: u64, cost: u32) -> Expected {
        self.by_other_limits(self.judge(numbers, now).peek(now, cost), now)
    }

    /// An answer by windows that nothing was charged to under their limits yet: once those that are there
    /// have ended, nothing is known of the subject any more.
    fn by_other_limits(&self, expected: Expected, now: u64) -> Expected {
        expected.forgotten_at(self.windows.iter().map(FixedWindow::empty_at).max(), now)
    }

    pub fn give_back(&mut self, now: u64, stamp: u64, units: u32, back: u32) -> bool {
        let windows = self.windows.iter_mut();
        let given = windows.map(|window| window.give_back(now, stamp, units.into(), back.into()));
        given.fold(false, |any, given| any | given)
    }

    /// Charges a debt to the form in force; to this one, if there is none.
    pub fn owe(&mut self, numbers: &[Numbers], now: u64, units: u32) {
        if self.windows.is_empty() {
            self.windows = self.of(numbers, now);
        }
        self.windows.iter_mut().for_each(|window| window.owe(now, units.into()));
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}
