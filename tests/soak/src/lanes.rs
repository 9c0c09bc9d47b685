//! What is used at once: each lane is a policy, how it is asked, and what it promises.

use std::time::Duration;

use tollgate::{Algorithm, Ban, Calendar, InFlight, OnError, Override, PerSubject, Policy, Quota};

const SECOND: u64 = 1_000_000;
pub(crate) const HOLD: u64 = 6 * SECOND;
pub(crate) const DEADLINE: u64 = SECOND / 10;
/// For so long a subject of the calendar's lane is asked.
pub(crate) const DAY_SLOT: u64 = 60 * SECOND;
pub(crate) const DAY_LIMIT: u32 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Check,
    Refund,
    Settle,
    Wait,
    Hold,
    WaitAndHold,
    /// Nobody else asks for the subject, and whoever is refused comes when it was told.
    Alone,
    /// Requests over HTTP, to a path.
    Serve(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) policy: Policy,
    pub(crate) does: Does,
    pub(crate) subjects: u64,
    pub(crate) costs: (u64, u64),
    /// Milliseconds between two requests of a process.
    pub(crate) pause: u64,
    /// The most units in any span of so many microseconds.
    pub(crate) bounds: Vec<(u64, u32)>,
    /// A refusal's time is the first at which the same request succeeds.
    pub(crate) is_exact: bool,
    /// The most at the same time.
    pub(crate) permits: Option<u32>,
}

impl Lane {
    pub(crate) fn name(&self) -> &str {
        self.policy.name()
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name() == name
    }

    fn does(mut self, does: Does) -> Self {
        self.does = does;
        // What is given back or taken in addition moves the time of a refusal.
        self.is_exact &= does == Does::Check;
        self
    }

    fn costs(mut self, least: u64, most: u64) -> Self {
        self.costs = (least, most);
        self
    }

    fn pause(mut self, pause: u64) -> Self {
        self.pause = pause;
        self
    }

    fn subjects(mut self, subjects: u64) -> Self {
        self.subjects = subjects;
        self
    }

    fn permits(mut self, permits: u32) -> Self {
        self.permits = Some(permits);
        self
    }

    fn inexact(mut self) -> Self {
        self.is_exact = false;
        self
    }
}

fn lane(policy: Policy, most: u32) -> Lane {
    let span = policy.quotas().first().map_or(0, |quota| quota.period().as_micros() as u64);
    let bounds = if span == 0 { Vec::new() } else { vec![(span, most)] };
    Lane {
        policy,
        does: Does::Check,
        subjects: 2,
        costs: (1, 1),
        pause: 160,
        bounds,
        is_exact: true,
        permits: None,
    }
}

fn quota(limit: u32, seconds: u64) -> Quota {
    Quota::new(limit, Duration::from_secs(seconds))
}

/// The lanes of so many processes. The calendar's days begin by the clocks of `zone`.
pub(crate) fn lanes(workers: u32, zone: &'static str) -> Vec<Lane> {
    let ten = quota(10, 2);
    let hold = Duration::from_micros(HOLD);
    let new = Policy::new;
    let ban = Ban::new(4, Duration::from_secs(1)).grow(2).most(Duration::from_secs(4));
    let day = new("day", Quota::calendar(DAY_LIMIT, Calendar::Day, zone));
    let mut day = lane(day.algorithm(Algorithm::FixedWindow), DAY_LIMIT);
    day.bounds = vec![(DAY_SLOT, DAY_LIMIT)];
    let mut two = lane(new("two quotas", quota(5, 1)).and(quota(20, 10)), 5).does(Does::Refund);
    two.bounds = vec![(SECOND, 5), (10 * SECOND, 20)];
    let share = 12_u32.div_ceil(workers);
    vec![
        lane(new("sliding", ten), 10).costs(1, 2),
        lane(new("large", quota(2_000, 4)), 2_000).costs(50, 150).subjects(1),
        lane(new("counter", ten).algorithm(Algorithm::SlidingWindowCounter), 19),
        lane(new("fixed", ten).algorithm(Algorithm::FixedWindow), 19),
        lane(new("token", ten.burst(15)).algorithm(Algorithm::TokenBucket), 24),
        lane(new("gcra", ten).algorithm(Algorithm::Gcra), 19),
        lane(new("leaky", ten).algorithm(Algorithm::LeakyBucket), 19).does(Does::Wait),
        two,
        lane(new("settle", quota(20, 2)), 20).costs(2, 2).does(Does::Settle),
        lane(new("ban", quota(5, 2)).ban(ban), 5),
        lane(Policy::in_flight_only("permits", InFlight::new(4).hold(hold)), 0)
            .does(Does::Hold)
            .permits(4)
            .pause(80),
        lane(new("both", quota(20, 2)).in_flight(InFlight::new(3).hold(hold)), 20)
            .does(Does::WaitAndHold)
            .permits(3),
        // A window across the end of an outage may hold what the algorithm admits once more.
        lane(new("local", quota(12, 2)).on_error(OnError::Local), 24 + (workers - 1) * share)
            .inexact(),
        lane(new("open", ten).on_error(OnError::Open), 10).inexact(),
        lane(new("leased", quota(400, 4)).lease(20), 400 + workers * 19)
            .subjects(1)
            .pause(25)
            .inexact(),
        day.subjects(1).pause(500),
        lane(new("changed", quota(20, 2)), 20).inexact(),
        lane(new("blocked", ten), 10).inexact(),
        lane(new("reformed", ten), 29).inexact(),
        lane(new("plans", quota(10, 2)), 10),
        lane(new("churn", quota(5, 2)), 5).subjects(100_000).pause(40),
        lane(new("alone", quota(3, 1)), 3).does(Does::Alone),
        lane(new("http plain", ten), 10).does(Does::Serve("/plain")),
        lane(new("http fails", ten), 10).does(Does::Serve("/fails")),
        lane(new("http door", ten).algorithm(Algorithm::LeakyBucket), 19)
            .does(Does::Serve("/door")),
        lane(new("http stream", quota(20, 2)).in_flight(InFlight::new(3).hold(hold)), 20)
            .does(Does::Serve("/stream"))
            .permits(3),
        lane(new("http usage", quota(20, 2)), 20).costs(2, 2).does(Does::Serve("/usage")),
    ]
}

/// The quotas of single subjects.
pub(crate) fn plans() -> PerSubject {
    PerSubject::new(|policy, subject| {
        (policy.name() == "plans" && subject == "0").then(|| Override::new().limit(5))
    })
}

/// A zone in which a day begins at the next full hour.
pub(crate) fn zone(now: u64) -> (&'static str, u64) {
    const ZONES: [&str; 24] = [
        "Etc/GMT",
        "Etc/GMT+1",
        "Etc/GMT+2",
        "Etc/GMT+3",
        "Etc/GMT+4",
        "Etc/GMT+5",
        "Etc/GMT+6",
        "Etc/GMT+7",
        "Etc/GMT+8",
        "Etc/GMT+9",
        "Etc/GMT+10",
        "Etc/GMT+11",
        "Etc/GMT+12",
        "Etc/GMT-11",
        "Etc/GMT-10",
        "Etc/GMT-9",
        "Etc/GMT-8",
        "Etc/GMT-7",
        "Etc/GMT-6",
        "Etc/GMT-5",
        "Etc/GMT-4",
        "Etc/GMT-3",
        "Etc/GMT-2",
        "Etc/GMT-1",
    ];
    let hour = now / (3_600 * SECOND) + 1;
    (ZONES[(hour % 24) as usize], hour * 3_600 * SECOND)
}

pub(crate) fn known(zone: &str) -> &'static str {
    (0..24).map(|hour| self::zone(hour * 3_600 * SECOND).0).find(|it| *it == zone).unwrap()
}
