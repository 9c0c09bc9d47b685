//! Bans, put as plainly as the rule: what is known of a subject's refusals, beside its quotas.

use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Ban, Outcome, Policy};

use super::{DAY, Expected, Numbers, TEN_YEARS};

/// The numbers of a ban, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanNumbers {
    pub after: u32,
    pub first: u64,
    pub grow: u32,
    pub most: u64,
}

impl BanNumbers {
    pub fn ban(&self) -> Ban {
        let ban = Ban::new(self.after, Duration::from_micros(self.first)).grow(self.grow);
        ban.most(Duration::from_micros(self.most))
    }

    /// The policy, with this ban if there is one.
    pub fn on(policy: Policy, ban: Option<Self>) -> Policy {
        match ban {
            Some(ban) => policy.ban(ban.ban()),
            None => policy,
        }
    }

    /// The length of the ban after so many others.
    fn length(&self, earlier: u32) -> u64 {
        let mut length = self.first;
        for _ in 0..earlier {
            if self.grow == 1 || length >= self.most {
                break;
            }
            length = length.saturating_mul(self.grow.into());
        }
        length.min(self.most)
    }
}

/// Short ones and long ones, that grow or do not; sometimes there is none.
pub fn bans() -> impl Strategy<Value = Option<BanNumbers>> {
    let length = prop_oneof![
        6 => 1_000_u64..=1_000_000,
        2 => 1_000_u64..=10 * DAY,
        1 => 1_000_u64..=TEN_YEARS,
        1 => Just(TEN_YEARS),
    ];
    let grow = prop_oneof![2 => Just(1_u32), 4 => 2_u32..=4, 1 => Just(u32::MAX)];
    let most = prop_oneof![3 => 1_u64..=20, 1 => Just(1), 1 => Just(u64::MAX)];
    let after = prop_oneof![3 => Just(1_u32), 5 => 2_u32..=3, 1 => 4_u32..=8];
    let ban = (after, length, grow, most).prop_map(|(after, first, grow, times)| {
        let most = first.saturating_mul(times).min(TEN_YEARS);
        BanNumbers { after, first, grow, most }
    });
    prop::option::weighted(0.8, ban)
}

/// Lengths of bans that are set by hand.
pub fn spans() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_000_u64..=1_000_000,
        2 => 1_000_u64..=10 * DAY,
        1 => 1_000_u64..=TEN_YEARS,
        1 => prop_oneof![Just(1_000), Just(TEN_YEARS)],
    ]
}

/// The record of a subject. Instants never go back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Banned {
    pub until: u64,
    pub forgotten_at: u64,
    pub counted_until: u64,
    bans: u32,
    refusals: u32,
}

impl Banned {
    /// The outcome of all requests, if the subject is banned.
    pub fn outcome(&self, now: u64) -> Option<Outcome> {
        let left = self.until.saturating_sub(now);
        (left > 0).then(|| Outcome::Banned { retry_after: Duration::from_micros(left) })
    }

    /// Counts a charge that was decided by the quotas, and says what comes of it.
    pub fn count(
        &mut self,
        ban: Option<BanNumbers>,
        numbers: &[Numbers],
        now: u64,
        mut expected: Expected,
    ) -> Expected {
        let Outcome::Refused { .. } = expected.outcome else { return expected };
        let Some(ban) = ban else { return expected };
        if self.refusals == 0 || self.counted_until <= now {
            self.refusals = 0;
            self.counted_until = now + numbers.iter().map(|numbers| numbers.period).max().unwrap();
        }
        self.refusals += 1;
        if self.refusals >= ban.after {
            let earlier = if self.forgotten_at <= now { 0 } else { self.bans };
            self.until = now + ban.length(earlier);
            self.bans = earlier + 1;
            self.forgotten_at = self.until + ban.most;
            self.refusals = 0;
            expected.outcome = self.outcome(now).unwrap();
        }
        expected
    }

    pub fn ban(&mut self, now: u64, span: u64) {
        self.until = self.until.max(now + span);
    }

    /// Says if there was a ban.
    pub fn unban(&mut self, now: u64) -> bool {
        let was_banned = self.until > now;
        self.until = 0;
        was_banned
    }

    /// Forgets all but the ban in force.
    pub fn forgive(&mut self) {
        *self = Self { until: self.until, ..Self::default() };
    }
}
