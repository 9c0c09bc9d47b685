//! Judges what the processes let through, by what they told and when. It asks no limiter.

use std::collections::HashMap;

use crate::events::{By, Call, Cut, Event, Told};
use crate::figures::Figures;
use crate::lanes::{DEADLINE, Does, HOLD, Lane};
use crate::permits::{Excuses, Permits};

const SECOND: u64 = 1_000_000;
/// By then everybody has told what happened.
const LAG: u64 = 15 * SECOND;
/// The time by which clocks that tell a wait may differ.
const TOLERANCE: u64 = 2_000;
/// The time in which a changed file takes effect, and as long again for a busy machine.
const FOLLOWS: u64 = 4 * SECOND;
/// For so long after a change a process may repeat a refusal from before it.
const MAX_AGE: u64 = SECOND + SECOND / 10;
/// For so long a subject may be charged by a request that nobody knows of.
const UNKNOWN: u64 = 12 * SECOND;

struct Admission {
    begun: u64,
    ended: u64,
    units: u32,
}

struct Refusal {
    begun: u64,
    ended: u64,
    until: u64,
    cost: u32,
}

/// What is known of a subject of a lane.
#[derive(Default)]
struct Door {
    admitted: Vec<Admission>,
    refused: Vec<Refusal>,
    /// When a process decided alone.
    alone: Vec<u64>,
    disturbed: u64,
    permits: Permits,
}

pub(crate) struct Observer {
    lanes: Vec<Lane>,
    doors: HashMap<(usize, u64), Door>,
    cuts: Vec<Cut>,
    excuses: Excuses,
    /// The last place of those who have left a line, of each process and subject.
    places: HashMap<(usize, u64), u64>,
    /// Since when the lane that is blocked now and then is, and the time before.
    blocked: Option<u64>,
    midnight: u64,
    doubts: bool,
    pub(crate) figures: Figures,
}

impl Observer {
    pub(crate) fn new(store: &str, lanes: Vec<Lane>, midnight: u64, doubts: bool) -> Self {
        let names = lanes.iter().map(|lane| lane.name().to_owned()).collect();
        Self {
            lanes,
            doors: HashMap::new(),
            cuts: Vec::new(),
            excuses: Excuses::default(),
            places: HashMap::new(),
            blocked: None,
            midnight,
            doubts,
            figures: Figures::new(store, names),
        }
    }

    pub(crate) fn hears(&mut self, event: Event) {
        match event {
            Event::Listens { worker, .. } => {
                self.places.retain(|(of, _), _| *of != worker);
            }
            Event::Call(call) => self.hears_call(&call),
            Event::Holds { lane, subject, id, worker, at } => {
                self.figures.permits += 1;
                self.door(lane, subject).permits.holds(id, worker, at);
            }
            Event::Frees { lane, subject, id, at } => {
                self.door(lane, subject).permits.frees(id, at);
            }
            Event::Dies { worker, at } => {
                self.doors.values_mut().for_each(|door| door.permits.dies(worker, at));
            }
            Event::Cut(cut) => {
                if cut.of.is_none() {
                    self.excuses.add_cut(&cut);
                }
                self.cuts.push(cut);
            }
            Event::Fault { kind, from, to, recovery } => {
                self.excuses.add_fault(from, to);
                self.figures.fault(kind, from, to, recovery);
            }
            Event::Blocks { on, at } => {
                let ahead = if self.doubts { FOLLOWS } else { 0 };
                self.blocked = on.then_some(at + FOLLOWS - 2 * ahead);
            }
            Event::Tick(tick) => self.figures.tick(tick),
            Event::Error(text) => {
                if !self.figures.error(&text, self.doubts) {
                    self.figures.wrong("text", text);
                }
            }
            Event::Wrong(text) => {
                let kind = if text.contains("recovery") { "recovery" } else { "process" };
                self.figures.wrong(kind, text);
            }
            Event::Done => {}
        }
    }

    fn door(&mut self, lane: usize, subject: u64) -> &mut Door {
        self.doors.entry((lane, subject)).or_default()
    }

    fn hears_call(&mut self, call: &Call) {
        self.figures.call(call);
        let lane = &self.lanes[call.lane];
        let (is_exact, is_alone) = (lane.is_exact, lane.does == Does::Alone);
        let name = lane.name().to_owned();
        let doubts = self.doubts;
        let is_blocked = self.blocked.is_some_and(|since| call.begun > since);
        let most = if doubts { call.most / 4 } else { call.most.saturating_add(250_000) };
        if call.told != Told::GivenUp && call.ended - call.begun > most {
            let taken = (call.ended - call.begun) / 1_000;
            self.figures.wrong("time", format!("{name} {}: {taken} ms", call.subject));
        }
        if name == "blocked" && is_blocked && call.told == Told::Admitted {
            self.figures
                .wrong("blocked", format!("{name} {}: admitted at {}", call.subject, call.begun));
        }
        if let Some(place) = call.place
            && call.told == Told::Admitted
        {
            let last = self.places.entry((call.worker, call.subject)).or_default();
            if place < *last {
                let text = format!("{name} {}: {place} leaves after {last}", call.subject);
                self.figures.wrong("order", text);
            }
            *last = place.max(*last);
        }
        let door = self.doors.entry((call.lane, call.subject)).or_default();
        match call.told {
            Told::Admitted => {
                if matches!(call.by, By::Local) {
                    door.alone.push(call.ended);
                }
                if call.by != By::Open && call.units > 0 {
                    let Call { begun, ended, units, .. } = *call;
                    door.admitted.push(Admission { begun, ended, units });
                }
            }
            Told::Refused | Told::Banned if is_exact => {
                // A refusal that is repeated counts its time from when the store's answer came.
                let since = if call.by == By::Store { TOLERANCE } else { TOLERANCE + DEADLINE };
                let wait = if doubts { 2 * call.wait } else { call.wait.saturating_sub(since) };
                let Call { begun, ended, cost, told, .. } = *call;
                let cost = if told == Told::Banned { 0 } else { cost };
                door.refused.push(Refusal { begun, ended, until: begun + wait, cost });
            }
            Told::Refused if is_alone && call.again && door.disturbed + UNKNOWN < call.begun => {
                let text = format!("{name} {}: refused again, at {}", call.subject, call.begun);
                self.figures.wrong("again", text);
            }
            Told::Unavailable | Told::GivenUp => door.disturbed = door.disturbed.max(call.ended),
            _ => {}
        }
    }

    /// Judges what is old enough for everybody to have told of it.
    pub(crate) fn judge(&mut self, now: u64) {
        let Self { lanes, doors, cuts, excuses, figures, doubts, midnight, .. } = self;
        for ((number, subject), door) in doors.iter_mut() {
            let lane = &lanes[*number];
            let cuts: Vec<Cut> = cuts
                .iter()
                .filter(|cut| cut.of.is_none_or(|of| of == (*number, *subject)))
                .copied()
                .collect();
            let judge = Judge {
                lane,
                subject: *subject,
                cuts: &cuts,
                doubts: *doubts,
                midnight: *midnight,
                number: *number,
            };
            if let Some(limit) = lane.permits {
                let limit = if *doubts { limit - 1 } else { limit };
                let (most, wrong) = door.permits.judge(now, limit, excuses);
                figures.most(*number, 1, most);
                if let Some(wrong) = wrong {
                    figures.wrong("permits", format!("{} {subject}: {wrong}", lane.name()));
                }
            }
            judge.windows(door, now, figures);
        }
        doors.retain(|_, door| {
            !door.admitted.is_empty()
                || !door.refused.is_empty()
                || door.disturbed + 4 * UNKNOWN > now
        });
        excuses.forget(now);
        cuts.retain(|cut| cut.to + 10 * LAG > now);
    }
}

struct Judge<'a> {
    lane: &'a Lane,
    subject: u64,
    cuts: &'a [Cut],
    doubts: bool,
    midnight: u64,
    number: usize,
}

impl Judge<'_> {
    fn windows(&self, door: &mut Door, now: u64, figures: &mut Figures) {
        let name = self.lane.name();
        let longest = self.lane.bounds.iter().map(|(span, _)| *span).max().unwrap_or(0);
        let due = now.saturating_sub(LAG + longest);
        door.admitted.sort_unstable_by_key(|it| it.begun);
        let judged = door.admitted.partition_point(|it| it.begun < due);
        for (which, (span, bound)) in self.lane.bounds.iter().enumerate() {
            for first in 0..judged {
                let from = door.admitted[first].begun;
                let until = from + span;
                let mut bound = *bound;
                if self.lane.is("local")
                    && !door.alone.iter().any(|at| (from.saturating_sub(LAG)..until).contains(at))
                {
                    bound = self.lane.policy.quotas()[0].limit();
                }
                if self.lane.is("plans") && self.subject == 0 {
                    bound = 5;
                }
                if self.lane.is("day") && (from..until).contains(&self.midnight) {
                    bound *= 2;
                }
                if self.doubts {
                    bound = bound * 3 / 4;
                }
                let within = || door.admitted[first..].iter().take_while(|it| it.begun < until);
                let within = || within().filter(|it| it.ended < until);
                let cuts = || self.cuts.iter().filter(|cut| cut.from < until && cut.to > from);
                // What a store may have forgotten may be used once more.
                let is_forgotten = |it: &&Admission| {
                    cuts().any(|cut| {
                        it.begun <= cut.to && it.ended.saturating_add(cut.forgets) >= cut.from
                    })
                };
                let units: u32 = within().filter(|it| !is_forgotten(it)).map(|it| it.units).sum();
                figures.most(self.number, which, units);
                figures.windows += 1;
                if units > bound {
                    let text = format!(
                        "{name} {}: {units} of {bound} within {span} from {from}",
                        self.subject
                    );
                    figures.wrong("window", text);
                }
            }
        }
        for it in &door.admitted[..judged] {
            self.waits(it, &door.refused, figures);
        }
        door.admitted.drain(..judged);
        let kept = due.saturating_sub(LAG);
        door.refused.retain(|it| it.begun > kept);
        door.alone.retain(|at| at + 4 * LAG > now);
    }

    /// Nobody is let in before the time that a refusal has told, unless something was changed.
    fn waits(&self, it: &Admission, refused: &[Refusal], figures: &mut Figures) {
        for refusal in refused {
            let is_early = it.begun >= refusal.ended && it.ended < refusal.until;
            if !is_early || it.units < refusal.cost {
                continue;
            }
            figures.waits += 1;
            let of_cut = |cut: &Cut| cut.from <= it.ended && cut.to + MAX_AGE >= refusal.begun;
            if self.cuts.iter().any(of_cut) {
                continue;
            }
            let early = refusal.until - it.ended;
            let text = format!(
                "{} {}: {early} µs before its time at {}",
                self.lane.name(),
                self.subject,
                it.ended
            );
            figures.wrong("wait", text);
            return;
        }
    }
}

const _: () = assert!(HOLD < UNKNOWN);
