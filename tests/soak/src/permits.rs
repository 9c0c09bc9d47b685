//! Those who are at work at the same time.

use std::collections::HashMap;

use crate::events::Cut;
use crate::lanes::HOLD;

const SECOND: u64 = 1_000_000;
/// The longest that a request holds its permit, with what the machine is late.
const LONGEST: u64 = 2 * SECOND;
/// The longest time until a process reaches the store again after a fault.
const BACK_OFF: u64 = 2 * SECOND;
/// By then everybody has told what happened.
const LAG: u64 = 15 * SECOND;

struct Held {
    worker: usize,
    from: u64,
    to: Option<u64>,
    is_judged: bool,
}

/// The permits of a subject.
#[derive(Default)]
pub(crate) struct Permits {
    held: HashMap<u64, Held>,
}

/// A time in which more may be held.
struct More {
    from: u64,
    to: u64,
    times: u64,
}

/// The times in which more may be held than the limit, and why.
#[derive(Default)]
pub(crate) struct Excuses(Vec<More>);

impl Excuses {
    /// The store has forgotten who holds permits, until each process has told again.
    pub(crate) fn add_cut(&mut self, cut: &Cut) {
        let to = cut.to + HOLD / 3 + BACK_OFF + LONGEST;
        self.0.push(More { from: cut.from, to, times: 1 });
    }

    /// A process was cut off so long that what it holds may have been given again.
    pub(crate) fn add_fault(&mut self, from: u64, to: u64) {
        let length = to - from + BACK_OFF;
        if length > HOLD * 2 / 3 {
            let times = length.div_ceil(HOLD);
            self.0.push(More { from, to: to + BACK_OFF + LONGEST, times });
        }
    }

    pub(crate) fn forget(&mut self, now: u64) {
        self.0.retain(|more| more.to + 10 * LAG > now);
    }

    fn times(&self, at: u64) -> u64 {
        let now = self.0.iter().filter(|more| (more.from..=more.to).contains(&at));
        1 + now.map(|more| more.times).sum::<u64>()
    }
}

impl Permits {
    pub(crate) fn holds(&mut self, id: u64, worker: usize, at: u64) {
        self.held.insert(id, Held { worker, from: at, to: None, is_judged: false });
    }

    pub(crate) fn frees(&mut self, id: u64, at: u64) {
        if let Some(held) = self.held.get_mut(&id) {
            held.to.get_or_insert(at);
        }
    }

    pub(crate) fn dies(&mut self, worker: usize, at: u64) {
        let of_worker = |held: &&mut Held| held.worker == worker && held.to.is_none();
        self.held.values_mut().filter(of_worker).for_each(|held| held.to = Some(at));
    }

    /// Returns the most that were held at a time and are not excused, and what was too many.
    pub(crate) fn judge(
        &mut self,
        now: u64,
        limit: u32,
        excuses: &Excuses,
    ) -> (u32, Option<String>) {
        let limit = u64::from(limit);
        let ends = |held: &Held| held.to.unwrap_or(u64::MAX);
        let due: Vec<u64> =
            self.held.values().filter(|held| !held.is_judged).map(|held| held.from).collect();
        let (mut most, mut wrong) = (0, None);
        for at in due.into_iter().filter(|at| at + LAG < now) {
            let count =
                self.held.values().filter(|held| held.from <= at && at < ends(held)).count() as u64;
            let times = excuses.times(at);
            if times == 1 {
                most = most.max(count as u32);
            }
            if count > limit * times {
                let who: Vec<String> = self
                    .held
                    .values()
                    .filter(|held| held.from <= at && at < ends(held))
                    .map(|held| format!("process {} since {}", held.worker, at - held.from))
                    .collect();
                wrong = Some(format!("at {at}: {count} of {limit} (times {times}): {who:?}"));
            }
        }
        for held in self.held.values_mut().filter(|held| held.from + LAG < now) {
            held.is_judged = true;
        }
        self.held.retain(|_, held| !held.is_judged || ends(held) + LAG > now);
        (most, wrong)
    }
}
