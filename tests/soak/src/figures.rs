//! What a run comes to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use crate::events::{Call, Tick, Told};
use crate::lanes::DEADLINE;

/// The violations of a kind that are kept with their text.
const TOLD: usize = 5;

/// Each error's text is one of an outage: it has one of these words.
const KNOWN: [&str; 4] = [
    "did not act",
    "no answer before the deadline",
    "it has failed too often",
    "may or may not have acted",
];

#[derive(Clone, Default)]
struct Row {
    name: String,
    requests: u64,
    admitted: u64,
    refused: u64,
    unavailable: u64,
    given_up: u64,
    late: u64,
    longest: u64,
    most: [u32; 2],
}

#[derive(Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
    pub(crate) permits: u64,
    pub(crate) windows: u64,
    pub(crate) waits: u64,
    /// Of each kind of fault: how many, how long, and the longest recovery.
    faults: BTreeMap<String, (u64, u64, u64)>,
    ticks: BTreeMap<usize, Vec<Tick>>,
    texts: BTreeSet<String>,
    pub(crate) wrong: BTreeMap<&'static str, (u64, Vec<String>)>,
    pub(crate) redis: String,
    store: String,
    /// The last faults, with the times of their beginnings and ends.
    last: VecDeque<String>,
}

impl Figures {
    pub(crate) fn new(store: &str, names: Vec<String>) -> Self {
        let rows = names.into_iter().map(|name| Row { name, ..Row::default() }).collect();
        Self { rows, store: store.to_owned(), ..Self::default() }
    }

    pub(crate) fn call(&mut self, call: &Call) {
        let row = &mut self.rows[call.lane];
        row.requests += 1;
        match call.told {
            Told::Admitted => row.admitted += 1,
            Told::Unavailable => row.unavailable += 1,
            Told::GivenUp => row.given_up += 1,
            _ => row.refused += 1,
        }
        if call.most != u64::MAX && call.told != Told::GivenUp {
            let taken = call.ended - call.begun;
            row.longest = row.longest.max(taken);
            row.late += u64::from(call.most <= 3 * DEADLINE && taken > DEADLINE + 20_000);
        }
    }

    pub(crate) fn fault(&mut self, kind: String, from: u64, to: u64, recovery: u64) {
        let length = to - from;
        self.last.push_back(format!("{kind} from {from} to {to}"));
        if self.last.len() > 10 {
            self.last.pop_front();
        }
        let of_kind = self.faults.entry(kind).or_default();
        of_kind.0 += 1;
        of_kind.1 += length;
        of_kind.2 = of_kind.2.max(recovery);
    }

    pub(crate) fn tick(&mut self, tick: Tick) {
        self.ticks.entry(tick.worker).or_default().push(tick);
    }

    pub(crate) fn most(&mut self, lane: usize, which: usize, units: u32) {
        let most = &mut self.rows[lane].most[which];
        *most = units.max(*most);
    }

    /// Returns `true` if the text is one that an outage has.
    pub(crate) fn error(&mut self, text: &str, doubts: bool) -> bool {
        let plain: String =
            text.chars().map(|it| if it.is_ascii_digit() { '#' } else { it }).collect();
        self.texts.insert(plain);
        !doubts && KNOWN.iter().any(|known| text.contains(known))
    }

    pub(crate) fn wrong(&mut self, kind: &'static str, text: String) {
        let (count, texts) = self.wrong.entry(kind).or_default();
        *count += 1;
        if texts.len() < TOLD {
            println!("{}, {kind}: {text}\n   of late: {:?}", self.store, self.last);
            texts.push(text);
        }
    }

    /// Compares what each process held in an early part of the run with a late one, of the processes
    /// that lived through it.
    pub(crate) fn judge_growth(&mut self, from: u64, until: u64, doubts: bool) {
        let parts = |share: [u64; 2]| share.map(|share| from + (until - from) / 100 * share);
        let mut texts = Vec::new();
        for (worker, ticks) in &self.ticks {
            let median = |part: [u64; 2], of: fn(&Tick) -> usize| {
                let mut all: Vec<usize> =
                    ticks.iter().filter(|it| (part[0]..part[1]).contains(&it.at)).map(of).collect();
                all.sort_unstable();
                all.get(all.len() / 2).copied().unwrap_or(0)
            };
            let [early, late] = [parts([20, 40]), parts([80, 100])];
            let held = |part| {
                [
                    median(part, |it| it.tasks),
                    median(part, |it| it.files),
                    median(part, |it| it.memory),
                ]
            };
            let (early, late) = (held(early), held(late));
            let grows = if doubts {
                late[2] * 2 > early[2]
            } else {
                late[0] > early[0] + 16
                    || late[1] > early[1] + 16
                    || late[2] > early[2] * 5 / 4 + 8_192
            };
            texts.push((
                grows,
                format!("process {worker}: tasks, files, kB: early {early:?}, late {late:?}"),
            ));
        }
        for (grows, text) in texts {
            println!("{text}");
            if grows {
                self.wrong("growth", text);
            }
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.wrong.values().map(|(count, _)| count).sum()
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8} {:>6} {:>6}\n",
            "",
            "requests",
            "admitted",
            "refused",
            "failed",
            "given up",
            "late",
            "longest",
            "most",
            ""
        );
        let mut sum = Row { name: "all".to_owned(), ..Row::default() };
        let mut write = |row: &Row| {
            let Row { name, requests, admitted, refused, unavailable, given_up, late, .. } = row;
            let longest = row.longest / 1_000;
            let [most, second] = row.most;
            let _ = writeln!(
                text,
                "{name:<12} {requests:>8} {admitted:>8} {refused:>8} {unavailable:>8} {given_up:>8} {late:>6} \
                 {longest:>5} ms {most:>6} {second:>6}"
            );
        };
        for row in &self.rows {
            write(row);
            sum.requests += row.requests;
            sum.admitted += row.admitted;
            sum.refused += row.refused;
            sum.unavailable += row.unavailable;
            sum.given_up += row.given_up;
            sum.late += row.late;
        }
        write(&sum);
        let Self { permits, windows, waits, redis, .. } = self;
        let _ = writeln!(
            text,
            "permits {permits}, windows judged {windows}, admissions before a told time that a change excuses {waits}"
        );
        for (kind, (count, length, recovery)) in &self.faults {
            let [length, recovery] = [length / 1_000, recovery / 1_000];
            let _ = writeln!(
                text,
                "{kind:<15} {count:>4} times, {length:>7} ms in all, answers again after {recovery:>5} ms at most"
            );
        }
        let faults: u64 = self.faults.values().map(|(count, ..)| count).sum();
        let _ = writeln!(text, "faults {faults}\n{redis}");
        for error in &self.texts {
            let _ = writeln!(text, "   {error}");
        }
        let _ = writeln!(text, "promises broken: {}", self.count());
        for (kind, (count, texts)) in &self.wrong {
            let _ = writeln!(text, "{kind}: {count}\n   {}", texts.join("\n   "));
        }
        text
    }
}
