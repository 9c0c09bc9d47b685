//! Starts the processes, and brings faults, until the time is over.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use crate::Options;
use crate::chance::Chance;
use crate::clients::Ports;
use crate::events::{Cut, Event, Tick, now};
use crate::faults::{Done, Kind, Store};

/// How long the breaker may stay open after a fault: its timeout is a second at most, and the machine
/// may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Ticks = Arc<Mutex<Vec<Tick>>>;

pub(crate) struct Conductor {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) file: PathBuf,
    pub(crate) zone: &'static str,
    pub(crate) events: Sender<Event>,
    pub(crate) ports: Ports,
    pub(crate) ticks: Ticks,
    pub(crate) workers: Vec<Running>,
}

/// A process, and who reads what it tells.
pub(crate) struct Running {
    child: Child,
    is_expected_to_end: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl Conductor {
    pub(crate) fn start(&mut self, number: usize) {
        let Options { seed, workers, load, doubts, .. } = &self.options;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--seed", &seed.to_string(), "--workers", &workers.to_string()]);
        command.args(["--load", &load.to_string()]);
        if *doubts {
            command.arg("--doubt");
        }
        let url = self.store.url(number);
        command.args([
            "--worker",
            &number.to_string(),
            &url,
            self.file.to_str().unwrap(),
            self.zone,
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_expected_to_end = Arc::new(AtomicBool::new(false));
        let (events, ports, ticks) = (self.events.clone(), self.ports.clone(), self.ticks.clone());
        let is_expected = is_expected_to_end.clone();
        let reader = spawn(move || {
            for line in lines {
                // A process that is killed may end in the midst of a line.
                let Some(event) = line.ok().and_then(|it| serde_json::from_str(&it).ok()) else {
                    continue;
                };
                match &event {
                    Event::Listens { worker, port } => ports.lock().unwrap()[*worker] = Some(*port),
                    Event::Tick(tick) => ticks.lock().unwrap()[tick.worker] = *tick,
                    Event::Done => is_expected.store(true, Ordering::Relaxed),
                    _ => {}
                }
                let _ = events.send(event);
            }
            if !is_expected.load(Ordering::Relaxed) {
                let _ = events.send(Event::Wrong(format!("process {number} has ended")));
            }
        });
        let running = Running { child, is_expected_to_end, reader };
        if number < self.workers.len() {
            self.workers[number] = running;
        } else {
            self.workers.push(running);
        }
    }

    /// Brings faults in turn until then.
    pub(crate) fn conduct(&mut self, until: Instant) {
        let mut chance = Chance::new(self.options.seed, 70_000);
        let mut turn: Vec<Kind> = Vec::new();
        self.heals("the start", now());
        let (mut primary, mut known) = (self.store.primary_port(), now());
        while Instant::now() + Duration::from_secs(12) < until {
            sleep(Duration::from_millis(chance.within(2_500, 6_000)));
            if turn.is_empty() {
                turn = self.store.kinds();
                // Each kind once in a turn, in an order by chance.
                for last in (1..turn.len()).rev() {
                    turn.swap(last, chance.below(last as u64 + 1) as usize);
                }
            }
            if self.store.primary_port() != primary {
                // Sentinels took a busy primary for one that is down: for a while there were two.
                let to = now() + 2_000_000;
                let cut = Cut { of: None, from: known, to, forgets: u64::MAX };
                let _ = self.events.send(Event::Cut(cut));
                let recovery = self.heals("FailOverUnasked", now());
                let kind = "FailOverUnasked".to_owned();
                let _ = self.events.send(Event::Fault { kind, from: known, to, recovery });
                primary = self.store.primary_port();
                self.store.mend();
            }
            let Some(kind) = turn.pop() else { continue };
            let done = match kind {
                Kind::Process => self.kill(),
                _ => self.store.suffer(kind, &mut chance),
            };
            if let Some(cut) = done.cut {
                let _ = self.events.send(Event::Cut(cut));
            }
            let recovery = self.heals(&format!("{kind:?}"), done.to);
            let (from, to) = (done.from, done.to);
            let _ =
                self.events.send(Event::Fault { kind: format!("{kind:?}"), from, to, recovery });
            if matches!(kind, Kind::FailOver | Kind::FailOverAtOnce) {
                primary = self.store.primary_port();
                self.store.mend();
            }
            known = now();
        }
    }

    /// Kills the last process, and starts it again.
    fn kill(&mut self) -> Done {
        let number = self.options.workers - 1;
        let running = &mut self.workers[number];
        running.is_expected_to_end.store(!self.options.doubts, Ordering::Relaxed);
        let from = now();
        let _ = self.events.send(Event::Dies { worker: number, at: from });
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        self.ports.lock().unwrap()[number] = None;
        self.ticks.lock().unwrap()[number] = Tick::default();
        self.start(number);
        Done { from, to: now(), cut: None }
    }

    /// Waits until every process has an answer of the store again. Returns the time that took.
    fn heals(&self, fault: &str, ended: u64) -> u64 {
        let since = Instant::now();
        let patience = if self.options.doubts { Duration::from_millis(20) } else { PATIENCE };
        let mut is_told = false;
        loop {
            let heals = |tick: &Tick| tick.is_closed && tick.last_answer > ended;
            let ticks = self.ticks.lock().unwrap().clone();
            if ticks.iter().all(heals) {
                return ticks.iter().map(|tick| tick.at).max().unwrap_or(ended) - ended;
            }
            if since.elapsed() > patience && !is_told {
                is_told = true;
                let text = format!("no recovery {patience:?} after {fault}: {ticks:?}");
                let _ = self.events.send(Event::Wrong(text));
            }
            assert!(since.elapsed() < Duration::from_secs(120), "no recovery at all: {ticks:?}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Lets the processes end, and waits until they have.
    pub(crate) fn end(&mut self) {
        for running in &mut self.workers {
            drop(running.child.stdin.take());
        }
        for mut running in self.workers.drain(..) {
            let _ = running.child.wait();
            let _ = running.reader.join();
        }
    }
}

/// Writes other limits into the file that all processes follow, until it is told to stop.
pub(crate) fn change(file: PathBuf, seed: u64, stop: &AtomicBool, events: &Sender<Event>) {
    let mut chance = Chance::new(seed, 80_000);
    let new = file.with_extension("new");
    let mut is_blocked = false;
    while !stop.load(Ordering::Relaxed) {
        if chance.is_one_in(4) {
            // A typing mistake changes nothing. A process that starts meanwhile tries again.
            let good = std::fs::read(&file).unwrap();
            std::fs::write(&new, "[policies.\"changed\"]\nlimti = 1000\n").unwrap();
            std::fs::rename(&new, &file).unwrap();
            sleep(Duration::from_millis(1_500));
            std::fs::write(&new, good).unwrap();
            std::fs::rename(&new, &file).unwrap();
        } else {
            let blocks = chance.is_one_in(2);
            if is_blocked && !blocks {
                let _ = events.send(Event::Blocks { on: false, at: now() });
            }
            let limit = chance.within(10, 20);
            let algorithm = ["sliding_window", "gcra"][chance.below(2) as usize];
            let text = format!(
                "[policies.\"changed\"]\nlimit = {limit}\n[policies.\"blocked\"]\nblock = {blocks}\n\
                 [policies.\"reformed\"]\nalgorithm = \"{algorithm}\"\n"
            );
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &file).unwrap();
            if blocks && !is_blocked {
                let _ = events.send(Event::Blocks { on: true, at: now() });
            }
            is_blocked = blocks;
        }
        let until = Instant::now() + Duration::from_millis(chance.within(3_000, 12_000));
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100));
        }
    }
}
