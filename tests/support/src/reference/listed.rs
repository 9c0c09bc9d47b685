//! The list of what was admitted to a subject, judged by whatever form is in force: as if that form
//! had been in force all the time.

use tollgate::{Algorithm, Outcome};

use super::{Expected, Numbers, Reference};

/// What was admitted and given back, in the order in which it happened.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Charged { at: u64, units: u32 },
    Refunded { at: u64, stamp: u64, units: u32, back: u32 },
    Owed { at: u64, units: u32 },
}

impl Listed {
    /// The form, after all that the list has.
    fn judge(&self, algorithm: Algorithm, numbers: &[Numbers]) -> Reference {
        let mut reference = Reference::new(algorithm, numbers);
        for entry in &self.entries {
            match *entry {
                Entry::Charged { at, units } => reference.take(at, units),
                Entry::Refunded { at, stamp, units, back } => {
                    reference.give_back(at, stamp, units, back);
                }
                Entry::Owed { at, units } => reference.owe(at, units),
            }
        }
        reference
    }

    pub fn charge(&mut self, form: (Algorithm, &[Numbers]), now: u64, cost: u32) -> Expected {
        let expected = self.judge(form.0, form.1).charge(now, cost);
        if expected.outcome == Outcome::Allowed && cost > 0 {
            self.entries.push(Entry::Charged { at: now, units: cost });
        }
        expected
    }

    pub fn peek(&self, form: (Algorithm, &[Numbers]), now: u64, cost: u32) -> Expected {
        self.judge(form.0, form.1).peek(now, cost)
    }

    /// Gives back as many of the units of a charge, by the form that took it.
    pub fn give_back(
        &mut self,
        form: (Algorithm, &[Numbers]),
        now: u64,
        (stamp, units): (u64, u32),
        back: u32,
    ) -> bool {
        let given = self.judge(form.0, form.1).give_back(now, stamp, units, back);
        if given {
            self.entries.push(Entry::Refunded { at: now, stamp, units, back });
        }
        given
    }

    /// Charges a debt.
    pub fn owe(&mut self, now: u64, units: u32) {
        self.entries.push(Entry::Owed { at: now, units });
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.entries.clear();
    }
}
