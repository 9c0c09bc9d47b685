//! Lines in memory: whoever waits, checks, is given up, refunded or reset, and however the policy
//! changes meanwhile, all goes as a naive model of lines says, though nobody is polled unwoken.

use std::sync::Arc;

use proptest::prelude::*;
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Limiter, MemoryBackend};

use support::line::{self, Case, Crowd, Plan, Step, line_limiter, play};
use support::reference::{Numbers, cases, for_all_six};
use support::subject::Store;

struct InMemory {
    limiter: Limiter,
    clock: ManualClock,
    plan: Plan,
}

impl InMemory {
    fn of(case: &Case) -> Self {
        let (clock, plan) = (ManualClock::new(), Arc::default());
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let builder = Limiter::builder(backend).clock(clock.clone());
        Self { limiter: line_limiter(builder, case, &plan), clock, plan }
    }
}

impl Store for InMemory {
    fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        support::at_once(future)
    }
}

fn queues_as_the_model(algorithm: Algorithm) {
    proptest!(cases(100, 4_000), |(case in line::cases(algorithm, 80))| {
        let store = InMemory::of(&case);
        let policy = line::policy(case.algorithm, &case.numbers);
        let mut crowd = Crowd::new(&store, &case, &policy, "s", &store.plan);
        prop_assert_eq!(play(&mut crowd, &case), Ok(()));
    });
}

for_all_six!(queues_as_the_model);

/// The subject's limit is lowered below the cost of the first in line, and the patience of the next
/// ends. None of them knows it yet when another comes, who has time enough once they have left.
#[test]
fn who_is_about_to_leave_is_not_in_the_way() {
    let numbers = vec![Numbers { limit: 5, period: 2_500_000, burst: None }];
    let steps = vec![
        Step::Check(4),
        Step::Wait(2, 2_500_000),
        Step::Plan(Some(1)),
        Step::Wait(1, 1_000),
        Step::Wait(1, 1_000),
        Step::PassThenWait(2_000_000, 1, 2_400_000),
        Step::Pass(500_000),
    ];
    let case = Case { algorithm: Algorithm::FixedWindow, numbers, steps };
    let store = InMemory::of(&case);
    let policy = line::policy(case.algorithm, &case.numbers);
    let mut crowd = Crowd::new(&store, &case, &policy, "s", &store.plan);
    assert_eq!(play(&mut crowd, &case), Ok(()));
}
