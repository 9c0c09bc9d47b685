//! The same traces get the same answers from Redis, from memory and from the definitions.

use proptest::prelude::*;
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Decision, Limiter, MemoryBackend};

use crate::reference::{
    Action, Answer, Event, Numbers, START, cases, for_all_six, play, quotas, said, steps,
};
use crate::subject::{Replay, Timed};

/// The same events in memory.
struct InMemory {
    limiter: Limiter,
    clock: ManualClock,
    decisions: Vec<Option<Decision>>,
}

impl InMemory {
    fn new() -> Self {
        let clock = ManualClock::new();
        clock.set_micros(START);
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        Self { limiter: Limiter::new(backend), clock, decisions: Vec::new() }
    }

    fn answer(
        &mut self,
        timed: &Timed,
        algorithm: Algorithm,
        numbers: &[Numbers],
        event: &Event,
    ) -> Answer {
        let policy = Numbers::policy(algorithm, numbers);
        self.clock.set_micros(event.at);
        let limiter = &self.limiter;
        let (answer, decision) = match event.action {
            Action::Charge(cost) => {
                let decision = limiter.check_now(&policy, "s", cost).unwrap().unwrap();
                (Answer::Decision(said(&decision)), Some(decision))
            }
            Action::Peek(cost) => {
                let decision = timed.runtime.block_on(limiter.peek(&policy, "s", cost)).unwrap();
                (Answer::Decision(said(&decision)), None)
            }
            Action::Refund(index) => {
                let decision = self.decisions[index].take().unwrap();
                let refunded = timed.runtime.block_on(limiter.refund(decision)).unwrap();
                (Answer::Refunded(refunded), None)
            }
            Action::Reset => {
                timed.runtime.block_on(limiter.reset(&policy, "s")).unwrap();
                (Answer::Reset, None)
            }
        };
        self.decisions.push(decision);
        answer
    }
}

fn decides_as_memory_and_the_definition(algorithm: Algorithm) {
    let timed = Timed::start();
    proptest!(cases(60, 2_000), |(numbers in quotas(algorithm), steps in steps(60))| {
        let mut replay = Replay::new(&timed, algorithm, &numbers);
        let mut memory = InMemory::new();
        for event in play(algorithm, &numbers, &steps) {
            let answer = replay.answer(&event);
            prop_assert_eq!(&answer, &event.answer, "{:?} at {}", event.action, event.at);
            let in_memory = memory.answer(&timed, algorithm, &numbers, &event);
            prop_assert_eq!(&answer, &in_memory, "{:?} at {}", event.action, event.at);
        }
    });
}

for_all_six!(decides_as_memory_and_the_definition);
