//! The worst window of a policy that changes its form, climbed: variants of a trace of times, costs,
//! refunds and changes, of which the one goes on whose worst window comes closest to the bound.

use crate::forms::{Admitted, Form, FormStep, Forms};
use crate::reference::START;
use crate::subject::Memory;

/// A window with the most units, and the most that it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worst {
    pub units: u64,
    pub bound: u64,
    /// Several forms admitted something in it.
    pub is_mixed: bool,
}

impl Worst {
    /// Thousandths of the bound.
    pub fn share(self) -> u64 {
        self.units * 1_000 / self.bound.max(1)
    }

    /// A window of one form says nothing of changes.
    pub fn height(self) -> (bool, u64) {
        (self.is_mixed, self.share())
    }
}

/// Says of a trace's admissions the window that comes closest to its bound.
pub type Judge<'a> = &'a dyn Fn(&[Form], &[Admitted]) -> Worst;

/// Numbers that look random, always the same ones.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

/// What is climbed: the forms, and if they change once or in turns.
#[derive(Debug)]
pub struct Climb<'a> {
    pub forms: &'a [Form],
    /// The first half of a trace is under the first form, the second half under the second.
    pub changes_once: bool,
}

/// The number of steps of a trace.
const STEPS: usize = 32;

impl Climb<'_> {
    /// Tries so many variants.
    ///
    /// # Errors
    ///
    /// If any of them is above its bound.
    pub fn climb(&self, dice: &mut Dice, tries: u32, judge: Judge<'_>) -> Result<Worst, String> {
        let mut best: Vec<FormStep> = (0..STEPS).map(|_| self.any(dice)).collect();
        let mut worst = self.play(&best, judge)?;
        for _ in 0..tries {
            let mut variant = best.clone();
            for _ in 0..=dice.roll(3) {
                self.vary(&mut variant, dice);
            }
            let next = self.play(&variant, judge)?;
            if next.height() >= worst.height() {
                (best, worst) = (variant, next);
            }
        }
        Ok(worst)
    }

    fn play(&self, steps: &[FormStep], judge: Judge<'_>) -> Result<Worst, String> {
        let mut forms = Forms::new(Memory::small(), "s".to_owned(), self.forms);
        for (index, step) in steps.iter().enumerate() {
            let second = usize::from(index * 2 >= steps.len());
            forms.step(match *step {
                FormStep::Charge(_, cost) if self.changes_once => FormStep::Charge(second, cost),
                FormStep::Peek(_, cost) if self.changes_once => FormStep::Peek(second, cost),
                step => step,
            });
        }
        let worst = judge(self.forms, &forms.admitted);
        match worst.units <= worst.bound {
            true => Ok(worst),
            false => Err(format!("{worst:?}: {:?} by {:?}", self.forms, forms.admitted)),
        }
    }

    fn vary(&self, steps: &mut Vec<FormStep>, dice: &mut Dice) {
        let at = usize::try_from(dice.roll(steps.len() as u64)).unwrap();
        match dice.roll(8) {
            0 => {
                let step = steps.remove(at);
                let to = usize::try_from(dice.roll(steps.len() as u64 + 1)).unwrap();
                steps.insert(to, step);
            }
            1 => {
                steps.remove(at);
                let step = self.any(dice);
                steps.push(step);
            }
            2 => {
                steps.pop();
                let step = self.any(dice);
                steps.insert(at, step);
            }
            3 | 4 => match &mut steps[at] {
                FormStep::Pass(micros) => *micros = (*micros + dice.roll(3)).saturating_sub(1),
                FormStep::Charge(_, cost) => {
                    *cost = (*cost + dice.pick(&[0, 2, 3])).saturating_sub(1);
                }
                other => *other = self.any(dice),
            },
            _ => steps[at] = self.any(dice),
        }
    }

    /// A step that may matter: time passes by whole periods and units, and up to where windows that
    /// are aligned to the epoch meet.
    fn any(&self, dice: &mut Dice) -> FormStep {
        let form = usize::try_from(dice.roll(self.forms.len() as u64)).unwrap();
        let (_, numbers) = &self.forms[form];
        let numbers = dice.pick(numbers);
        let capacity = numbers.capacity();
        let unit = numbers.period.div_ceil(numbers.limit.into());
        let cost = |units: u64| u32::try_from(units).unwrap();
        match dice.roll(16) {
            0..4 => FormStep::Charge(form, 1),
            4..7 => FormStep::Charge(form, cost(1 + dice.roll(capacity))),
            7..9 => FormStep::Charge(form, cost(dice.pick(&[capacity, capacity - 1]))),
            9 => FormStep::Peek(form, 1),
            10 => FormStep::Refund(usize::try_from(dice.roll(3)).unwrap()),
            11 => FormStep::Pass(dice.pick(&[0, 1, numbers.period - 1, numbers.period])),
            12 => FormStep::Pass(unit * (1 + dice.roll(numbers.limit.into())) - dice.roll(2)),
            13 => FormStep::Pass(numbers.period - START % numbers.period - dice.roll(2)),
            14 => FormStep::Share(form, dice.roll(1_001)),
            _ => FormStep::Pass(unit),
        }
    }
}
