//! Turns of a closed loop: callers that each ask again once they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::Result;
use super::contenders::Contender;
use super::server::Server;

/// The callers that fill the store.
const FILLERS: u64 = 64;

/// How the contenders take turns.
pub(super) struct Turns<'a> {
    pub(super) server: &'a Server,
    pub(super) runtime: &'a Runtime,
    pub(super) callers: u64,
    pub(super) rounds: usize,
    /// The duration of a turn.
    pub(super) length: Duration,
}

/// A contender, and the keys that it is asked for.
#[derive(Clone)]
pub(super) struct Entrant {
    pub(super) contender: Arc<Contender>,
    keys: u64,
    /// Checks of each key before the first turn.
    pub(super) checked: u64,
    /// The number of the next check. The callers share it, so that all keys are asked for equally
    /// often, and never two callers for one.
    next: Arc<AtomicU64>,
}

/// Samples of a contender, one a turn.
#[derive(Default)]
pub(super) struct Samples {
    /// Checks per second.
    pub(super) rates: Vec<f64>,
    /// The server's CPU for a check, in microseconds.
    pub(super) cpu_micros: Vec<f64>,
    /// Checks of a key, on average, those before the first turn included.
    pub(super) checked: f64,
}

impl Entrant {
    /// 10,000 keys, each of which is there already.
    pub(super) fn new(contender: Contender) -> Self {
        Self::with_keys(contender, 10_000, 1)
    }

    /// Keys that have been checked this often before the first turn.
    pub(super) fn with_keys(contender: Contender, keys: u64, checked: u64) -> Self {
        Self { contender: Arc::new(contender), keys, checked, next: Arc::default() }
    }

    async fn check_next(&self) {
        // Coprime with the number of keys: all of them, in no simple order.
        let key = self.next.fetch_add(1, Ordering::Relaxed) * 3_937 % self.keys;
        if let Err(error) = self.contender.check(&key.to_string()).await {
            panic!("{}: {error}", self.contender.name());
        }
    }
}

impl Turns<'_> {
    /// Lets each contender have its turns, in a store that is empty before.
    pub(super) fn measure(&self, entrants: &[Entrant]) -> Result<Vec<Samples>> {
        self.server.empty()?;
        let mut all: Vec<Samples> = entrants.iter().map(|_| Samples::default()).collect();
        for (entrant, samples) in entrants.iter().zip(&mut all) {
            self.fill(entrant);
            samples.checked = entrant.checked as f64;
        }
        for _ in 0..self.rounds {
            for (entrant, samples) in entrants.iter().zip(&mut all) {
                let before = self.server.cpu()?;
                let (checks, took) = self.turn(entrant);
                let cpu = self.server.cpu()? - before;
                samples.rates.push(checks / took);
                samples.cpu_micros.push(cpu / checks * 1e6);
                samples.checked += checks / entrant.keys as f64;
            }
        }
        Ok(all)
    }

    fn fill(&self, entrant: &Entrant) {
        let end = entrant.next.load(Ordering::Relaxed) + entrant.keys * entrant.checked;
        self.call(FILLERS, entrant, move |next| next < end);
    }

    /// How many checks were made, and in how many seconds.
    fn turn(&self, entrant: &Entrant) -> (f64, f64) {
        let first = entrant.next.load(Ordering::Relaxed);
        let (began, length) = (Instant::now(), self.length);
        self.call(self.callers, entrant, move |_| began.elapsed() < length);
        let checks = entrant.next.load(Ordering::Relaxed) - first;
        (checks as f64, began.elapsed().as_secs_f64())
    }

    /// Lets callers ask while they are told to go on, by the number of the next check.
    fn call(
        &self,
        callers: u64,
        entrant: &Entrant,
        goes_on: impl Fn(u64) -> bool + Copy + Send + 'static,
    ) {
        self.runtime.block_on(async {
            let callers: JoinSet<()> = (0..callers)
                .map(|_| {
                    let entrant = entrant.clone();
                    async move {
                        while goes_on(entrant.next.load(Ordering::Relaxed)) {
                            entrant.check_next().await;
                        }
                    }
                })
                .collect();
            callers.join_all().await;
        });
    }
}
