//! The log's requests, put to limits at the time at which they came.

use std::collections::BTreeMap;
use std::hash::RandomState;

use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Policy};

use super::args::{Limit, Plan};
use super::counters::Counters;
use super::sketch::{Distinct, Frequent};

/// What a key takes that has been admitted a few times, while new ones keep pushing others out.
/// Keys that take more are found out as they come.
const KEY_BYTES: usize = 384;
/// There is never room for more keys, however much memory there may be.
const MOST_KEYS: usize = 1 << 24;
/// How many of the refused are counted by name.
const FREQUENT: usize = 2048;

/// All policies, each with counters of its own.
pub(crate) struct Replay {
    clock: ManualClock,
    pub(crate) policies: Vec<Replayed>,
    /// The most that their counters may take, but for one subject of each.
    most_bytes: usize,
    /// The requests in each format.
    pub(crate) formats: BTreeMap<&'static str, u64>,
    /// The requests whose times have no zone.
    pub(crate) without_zone: u64,
    pub(crate) requests: u64,
    /// The requests of which the log does not say whose they are. No limit counts them.
    pub(crate) without_subject: u64,
    pub(crate) subjects: Distinct,
    /// When the first and the last were.
    pub(crate) span: Option<(u64, u64)>,
}

/// A policy, and what it did.
pub(crate) struct Replayed {
    policy: Policy,
    pub(crate) counters: Counters,
    pub(crate) refused: u64,
    pub(crate) subjects_refused: Distinct,
    pub(crate) most_refused: Frequent,
}

impl Replay {
    pub(crate) fn new(plan: &Plan) -> Self {
        let clock = ManualClock::new();
        let hasher = RandomState::new();
        let policies: Vec<(&Limit, Algorithm)> = plan
            .algorithms
            .iter()
            .flat_map(|algorithm| plan.limits.iter().map(|limit| (limit, *algorithm)))
            .collect();
        let most_bytes = plan.memory_mib.saturating_mul(1 << 20);
        let room = (most_bytes / (policies.len() * KEY_BYTES)).clamp(1, MOST_KEYS);
        let policies = policies
            .into_iter()
            .map(|(limit, algorithm)| {
                let counters = Counters::new(room, clock.clone());
                Replayed::new(limit, algorithm, counters, Distinct::new(hasher.clone()))
            })
            .collect();
        Self {
            clock,
            policies,
            most_bytes,
            formats: BTreeMap::new(),
            without_zone: 0,
            requests: 0,
            without_subject: 0,
            subjects: Distinct::new(hasher),
            span: None,
        }
    }

    /// Requests have to come in the order of time.
    pub(crate) fn request(&mut self, micros: u64, subject: &str) {
        self.requests += 1;
        self.subjects.add(subject);
        let first = self.span.map_or(micros, |(first, _)| first);
        self.span = Some((first, micros));
        self.clock.set_micros(micros);
        for policy in &mut self.policies {
            policy.request(subject);
        }
        self.keep_to_memory();
    }

    /// There is room for most subjects if each takes little. If they turn out to take much, there
    /// must be fewer of them: of the limit whose counters take most.
    fn keep_to_memory(&mut self) {
        let bytes: usize = self.policies.iter().map(|policy| policy.counters.bytes).sum();
        if bytes > self.most_bytes {
            let counters = self.policies.iter_mut().map(|policy| &mut policy.counters);
            let several = counters.filter(|counters| counters.room > 1);
            if let Some(greatest) = several.max_by_key(|counters| counters.bytes) {
                greatest.halve();
            }
        }
    }
}

impl Replayed {
    fn new(limit: &Limit, algorithm: Algorithm, counters: Counters, none: Distinct) -> Self {
        let name = format!("{}/{} {}", limit.quota.limit(), limit.period, algorithm.as_str());
        Self {
            policy: Policy::named(name, limit.quota).algorithm(algorithm),
            counters,
            refused: 0,
            subjects_refused: none,
            most_refused: Frequent::new(FREQUENT),
        }
    }

    fn request(&mut self, subject: &str) {
        if !self.counters.admit(&self.policy, subject) {
            self.refused += 1;
            self.subjects_refused.add(subject);
            self.most_refused.add(subject);
        }
    }

    /// As in `100/60s sliding_window`.
    pub(crate) fn name(&self) -> &str {
        self.policy.name()
    }
}

/// As a percentage.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    // An estimate may be beyond what it is a part of.
    if whole == 0 { 0.0 } else { (100.0 * part as f64 / whole as f64).min(100.0) }
}
