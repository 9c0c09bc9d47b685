//! The log's requests, put to limits at the time at which they came.

use std::collections::BTreeSet;
use std::hash::RandomState;

use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Limiter, MemoryBackend, MemoryStats, Policy};

use crate::args::{Limit, Plan};
use crate::sketch::{Distinct, Frequent};

/// What a key takes at most, as [`tollgate::MemoryBackendBuilder::max_keys`] has it, with the
/// longest subject that a line is read to have.
const KEY_BYTES: usize = 480;
/// What the sliding window takes for an admission, with room for as many again ..
const ADMISSION_BYTES: usize = 32;
/// .. of which it keeps no more apart.
const MOST_ADMISSIONS: usize = 1025;
/// There is never room for more keys, however much memory there may be.
const MOST_KEYS: usize = 1 << 24;
/// How many of the refused are counted by name.
const FREQUENT: usize = 2048;

/// All policies, each with counters of its own.
pub(crate) struct Replay {
    clock: ManualClock,
    pub(crate) policies: Vec<Replayed>,
    /// How many subjects there is room for, in each policy.
    pub(crate) max_keys: usize,
    pub(crate) formats: BTreeSet<&'static str>,
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
    limiter: Limiter,
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
        let bytes: usize =
            policies.iter().map(|(limit, algorithm)| key_bytes(limit, *algorithm)).sum();
        let max_keys = (plan.memory_mib.saturating_mul(1 << 20) / bytes).clamp(1, MOST_KEYS);
        let policies = policies
            .into_iter()
            .map(|(limit, algorithm)| {
                let backend = MemoryBackend::builder().max_keys(max_keys).clock(clock.clone());
                Replayed::new(limit, algorithm, backend.build(), Distinct::new(hasher.clone()))
            })
            .collect();
        Self {
            clock,
            policies,
            max_keys,
            formats: BTreeSet::new(),
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
    }
}

impl Replayed {
    fn new(limit: &Limit, algorithm: Algorithm, backend: MemoryBackend, none: Distinct) -> Self {
        let name = format!("{}/{} {}", limit.quota.limit(), limit.period, algorithm.name());
        Self {
            policy: Policy::named(name, limit.quota).algorithm(algorithm),
            limiter: Limiter::new(backend),
            refused: 0,
            subjects_refused: none,
            most_refused: Frequent::new(FREQUENT),
        }
    }

    #[allow(clippy::expect_used, reason = "memory answers at once, and fails for bursts only")]
    fn request(&mut self, subject: &str) {
        let decision = self.limiter.check_now(&self.policy, subject, 1);
        let decision = decision.expect("memory makes nobody wait").expect("it has no burst");
        if !decision.is_allowed() {
            self.refused += 1;
            self.subjects_refused.add(subject);
            self.most_refused.add(subject);
        }
    }

    /// As in `100/60s sliding_window`.
    pub(crate) fn name(&self) -> &str {
        self.policy.name()
    }

    /// `None` is never the case: it counts in memory.
    pub(crate) fn memory(&self) -> Option<MemoryStats> {
        self.limiter.stats().memory
    }
}

fn key_bytes(limit: &Limit, algorithm: Algorithm) -> usize {
    let admissions = match algorithm {
        Algorithm::SlidingWindow => (limit.quota.limit() as usize).min(MOST_ADMISSIONS),
        _ => 0,
    };
    KEY_BYTES + admissions * ADMISSION_BYTES
}

/// As a percentage.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    // An estimate may be beyond what it is a part of.
    if whole == 0 { 0.0 } else { (100.0 * part as f64 / whole as f64).min(100.0) }
}
