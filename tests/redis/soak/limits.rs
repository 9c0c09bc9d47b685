//! The limits of the soak: each feature has one, with what is written on it.

use std::time::Duration;

use tollgate::{Algorithm, Ban, Calendar, InFlight, OnError, Policy, Quota};

use super::dice::Dice;
use super::judge::Judge;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// One of the algorithms, costs from 1 to 3.
    Plain(Algorithm),
    /// A sliding window and a second one, ten times as long.
    Two,
    /// A third of the charges is given back.
    Refunded,
    /// A charge is replaced by what the request came to.
    Settled,
    /// Processes hold units that they have charged in advance.
    Leased,
    /// Callers wait in line.
    Line,
    /// A day of the calendar.
    Day,
    /// Operators change the number all the time, between half of it and all.
    Overridden,
    /// Who is told to come back then, is admitted then.
    Told,
    Banned,
    Permits,
    /// During an outage everybody passes.
    Open,
    /// During an outage each process decides by its share.
    Local,
    /// Operators reset its subjects all the time.
    Reset,
}

/// The most units that a process holds in advance.
pub(crate) const LEASE: u32 = 5;
pub(crate) const INSTANCES: u32 = 4;

const SECOND: Duration = Duration::from_secs(1);

impl Limit {
    /// The number of subjects that share the load.
    pub(crate) fn subjects(self) -> u64 {
        match self {
            Self::Permits => 3,
            Self::Leased => 2,
            Self::Day => 40,
            _ => 10,
        }
    }

    pub(crate) fn cost(self, dice: &mut Dice) -> u32 {
        match self {
            Self::Plain(_) => 1 + dice.roll(3) as u32,
            Self::Settled => 5,
            _ => 1,
        }
    }

    /// Returns `true` if the judge knows what may get through. During an outage the open limit lets
    /// everybody pass, and a reset begins anew.
    pub(crate) fn is_judged(self) -> bool {
        !matches!(self, Self::Open | Self::Local | Self::Reset)
    }
}

/// Returns all limits with their policies and judges.
pub(crate) fn all() -> Vec<(Limit, Policy, Judge)> {
    let algorithms = [
        ("sliding window", Algorithm::SlidingWindow, 1),
        ("sliding window counter", Algorithm::SlidingWindowCounter, 2),
        ("fixed window", Algorithm::FixedWindow, 2),
        ("token bucket", Algorithm::TokenBucket, 2),
        ("gcra", Algorithm::Gcra, 2),
        ("leaky bucket", Algorithm::LeakyBucket, 2),
    ];
    let mut all = Vec::new();
    for (name, algorithm, factor) in algorithms {
        let policy = Policy::new(name, Quota::new(10, 2 * SECOND)).algorithm(algorithm);
        all.push((Limit::Plain(algorithm), policy, Judge::new(name, 10 * factor, 2 * SECOND)));
    }
    let mut add = |limit, policy: Policy, units: u32, window| {
        let name = Box::leak(policy.name().to_owned().into_boxed_str());
        all.push((limit, policy, Judge::new(name, units.into(), window)));
    };
    let two = Quota::new(5, SECOND);
    let two = Policy::new("two quotas", two).and(Quota::new(30, 10 * SECOND));
    add(Limit::Two, two, 30, 10 * SECOND);
    let refunded = Policy::new("refunds", Quota::new(6, 2 * SECOND));
    add(Limit::Refunded, refunded, 6, 2 * SECOND);
    let settled = Policy::new("settlements", Quota::new(40, 2 * SECOND));
    add(Limit::Settled, settled, 40, 2 * SECOND);
    let leased = Policy::new("leases", Quota::new(24, 2 * SECOND)).lease(LEASE);
    add(Limit::Leased, leased, 24 + INSTANCES * (LEASE - 1), 2 * SECOND);
    let line = Policy::new("waiting in line", Quota::new(5, 2 * SECOND));
    add(Limit::Line, line, 5, 2 * SECOND);
    let day = Quota::calendar(100, Calendar::Day, "Asia/Kathmandu");
    let day = Policy::new("a day of the calendar", day).algorithm(Algorithm::FixedWindow);
    add(Limit::Day, day, 200, 24 * 3_600 * SECOND);
    let overridden = Policy::new("overrides", Quota::new(8, 2 * SECOND));
    add(Limit::Overridden, overridden, 8, 2 * SECOND);
    add(Limit::Told, Policy::new("told waits", Quota::new(3, SECOND)), 3, SECOND);
    let banned = Policy::new("bans", Quota::new(2, SECOND)).ban(Ban::new(3, 2 * SECOND).grow(2));
    add(Limit::Banned, banned, 2, SECOND);
    let permits = Policy::in_flight_only("permits", InFlight::new(3).hold(30 * SECOND));
    add(Limit::Permits, permits, 3, SECOND);
    let open = Policy::new("open in an outage", Quota::new(10, 2 * SECOND));
    add(Limit::Open, open.on_error(OnError::Open), 10, 2 * SECOND);
    let local = Policy::new("local in an outage", Quota::new(12, 2 * SECOND));
    add(Limit::Local, local.on_error(OnError::Local), 12, 2 * SECOND);
    let reset = Policy::new("resets", Quota::new(6, 2 * SECOND));
    add(Limit::Reset, reset, 6, 2 * SECOND);
    all
}
