//! Converts counted decisions and durations into figures and charts for the page.

use std::collections::HashMap;
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr as _};

use super::chart::{self, BAD, ChartLine, GOOD, ILL};
use crate::stats::LimiterStats;
use crate::telemetry::{DecisionCounts, SECONDS, Tally};

/// The numbers of decisions in each completed second of the last minute, in chronological order.
pub(super) struct Minute {
    allowed: Vec<u64>,
    refused: Vec<u64>,
    failed: Vec<u64>,
}

impl Minute {
    fn none() -> Self {
        let none = || vec![0; SECONDS];
        Self { allowed: none(), refused: none(), failed: none() }
    }

    fn of(counts: &DecisionCounts, now: u64) -> Self {
        let DecisionCounts { allowed, refused, failed } = counts;
        let [allowed, refused, failed] =
            [allowed, refused, failed].map(|seconds| seconds.before(now).collect());
        Self { allowed, refused, failed }
    }

    fn add(&mut self, other: &Self) {
        for (all, more) in [
            (&mut self.allowed, &other.allowed),
            (&mut self.refused, &other.refused),
            (&mut self.failed, &other.failed),
        ] {
            all.iter_mut().zip(more).for_each(|(all, more)| *all += more);
        }
    }
}

/// The decisions of the last minute, in total and for each policy.
pub(super) struct Decisions {
    pub(super) all: Rates,
    by_name: HashMap<SmolStr, Minute>,
    none: Minute,
}

impl Decisions {
    pub(super) fn of(tally: &Tally) -> Self {
        let now = tally.second();
        let mut all = Minute::of(tally.others(), now);
        let mut by_name = HashMap::new();
        for counted in tally.policies().iter() {
            let minute = Minute::of(&counted.counts, now);
            all.add(&minute);
            by_name.insert(counted.policy.name().to_smolstr(), minute);
        }
        Self { all: Rates::of(&all), by_name, none: Minute::none() }
    }

    pub(super) fn by_policy(&self, policy: &str) -> Rates {
        Rates::of(self.by_name.get(policy).unwrap_or(&self.none))
    }
}

pub(super) struct Rates {
    pub(super) allowed: Rate,
    pub(super) refused: Rate,
    pub(super) failed: Rate,
    pub(super) chart: String,
}

/// The number of decisions of one kind in the last completed second and in the last minute.
pub(super) struct Rate {
    pub(super) second: u64,
    pub(super) minute: u64,
}

impl Rates {
    fn of(minute: &Minute) -> Self {
        let rate = |counts: &[u64]| Rate {
            second: counts.last().copied().unwrap_or(0),
            minute: counts.iter().sum(),
        };
        let line = |colour, counts: &[u64]| ChartLine {
            colour,
            values: counts.iter().map(|count| *count as f64).collect(),
        };
        let Minute { allowed, refused, failed } = minute;
        let mut lines = vec![line(GOOD, allowed), line(BAD, refused)];
        if failed.iter().any(|count| *count > 0) {
            lines.push(line(ILL, failed));
        }
        Self {
            allowed: rate(allowed),
            refused: rate(refused),
            failed: rate(failed),
            chart: chart::draw(&lines, &per_second),
        }
    }
}

/// The durations of the last minute's checks for which the store was asked, as figures and as a
/// chart.
pub(super) struct Durations {
    pub(super) figures: [(&'static str, String); 3],
    pub(super) chart: String,
}

impl Durations {
    /// Returns the durations, or `None` if the store was not asked in the last minute.
    pub(super) fn of(tally: &Tally) -> Option<Self> {
        let now = tally.second();
        let seconds = now.saturating_sub(SECONDS as u64)..now;
        let [median, p99, longest] = tally.latency.quantiles(seconds.clone(), [0.5, 0.99, 1.0])?;
        let by_second: Vec<[f64; 2]> = seconds
            .map(|second| {
                let times = tally.latency.quantiles(second..second + 1, [0.5, 0.99]);
                times.map_or([0.0; 2], |times| times.map(|time| time.as_nanos() as f64))
            })
            .collect();
        let line = |colour, index: usize| ChartLine {
            colour,
            values: by_second.iter().map(|times| times[index]).collect(),
        };
        Some(Self {
            figures: [("median", time(median)), ("99 %", time(p99)), ("longest", time(longest))],
            chart: chart::draw(&[line(ILL, 1), line(GOOD, 0)], &|nanos| {
                time(Duration::from_nanos(nanos as u64))
            }),
        })
    }
}

/// Returns the state of the limiter's parts as pairs of name and value.
pub(super) fn state(stats: &LimiterStats) -> Vec<(&'static str, String)> {
    let mut state = vec![("store", stats.backend.to_owned())];
    let mut add = |name, value| state.push((name, value));
    if let Some(breaker) = &stats.breaker {
        add("circuit breaker", breaker.state.as_str().replace('_', " "));
        add("opened", times(breaker.opened));
        add("not asked", times(breaker.rejected));
    }
    if let Some(memory) = &stats.memory {
        add("keys held", memory.keys.to_string());
        add("evicted", memory.evicted.to_string());
        add("overflowed", memory.overflowed.to_string());
        add("bans lifted", memory.bans_lifted.to_string());
    }
    #[cfg(feature = "redis")]
    if let Some(redis) = &stats.redis {
        let used = redis.connections.saturating_sub(redis.idle);
        add("connections", format!("{used} of {} used", redis.pool_size));
        add("waiting for one", redis.waiting.to_string());
        add("queued", redis.queued.to_string());
        add("checks", redis.checks.to_string());
        add("round trips", redis.round_trips.to_string());
    }
    state
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn per_second(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.0}k/s", value / 1_000.0)
    } else if value.fract() == 0.0 {
        format!("{value:.0}/s")
    } else {
        format!("{value:.1}/s")
    }
}

/// Formats a duration with at most three digits.
fn time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let places = if value < 10.0 && unit != "ns" { 1 } else { 0 };
    format!("{value:.places$} {unit}")
}
