//! The example of a budget of tokens: of answers whose cost is known at their end, some of whose
//! readers hang up, nothing is free and nothing is charged twice.

use std::pin::Pin;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{Request, StatusCode};
use proptest::prelude::*;
use support::{limiter, local, scaled};
use token_budget::{BUDGET, RESERVE, TOKENS, USER, app};
use tokio::runtime::{Builder, Runtime};
use tollgate::testing::ManualClock;
use tollgate::{Limiter, Outcome, Subject};
use tower::ServiceExt as _;

const USERS: usize = 50;
const MINUTE: u64 = 60_000_000;
/// The tokens of a word.
const WORD: u32 = 100;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A user asks for an answer of so many words.
    Ask(usize, u32),
    /// A reader reads so many words of one of the answers that are under way.
    Read(usize, u32),
    /// A reader hangs up.
    HangUp(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few of the users are busy, as it is, so that budgets are used up.
    let user = prop_oneof![3 => 0_usize..4, 1 => 0..USERS];
    let words = prop_oneof![4 => 0_u32..12, 2 => 20_u32..90, 1 => 90_u32..200];
    let step = prop_oneof![
        6 => (user, words).prop_map(|(user, words)| Step::Ask(user, words)),
        6 => (any::<usize>(), 1_u32..80).prop_map(|(of, words)| Step::Read(of, words)),
        1 => any::<usize>().prop_map(Step::HangUp),
        2 => prop_oneof![0_u64..1_000_000, 1_000_000_u64..30_000_000].prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..120)
}

/// An answer under way.
struct Answer {
    user: usize,
    asked: u64,
    body: Body,
    tokens: u32,
}

/// Tokens that were charged to a user, and when. What an answer came to beyond its reserve is apart.
#[derive(Clone, Copy, Debug)]
struct Charge {
    user: usize,
    at: u64,
    tokens: u32,
    is_excess: bool,
}

struct Budget {
    router: Router,
    limiter: Limiter,
    clock: ManualClock,
    runtime: Runtime,
    now: u64,
    answers: Vec<Answer>,
    charges: Vec<Charge>,
}

impl Budget {
    fn new() -> Self {
        let (limiter, clock) = limiter();
        let now = 1_800_000_000_000_000;
        clock.set_micros(now);
        let runtime = Builder::new_current_thread().build().unwrap();
        let router = local(app(), &limiter);
        Self { router, limiter, clock, runtime, now, answers: Vec::new(), charges: Vec::new() }
    }

    fn used(&self, user: usize) -> u64 {
        let of = |charge: &&Charge| charge.user == user && charge.at + MINUTE > self.now;
        self.charges.iter().filter(of).map(|charge| u64::from(charge.tokens)).sum()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(micros) => {
                self.now += micros;
                self.clock.set_micros(self.now);
            }
            Step::Ask(user, words) => self.ask(user, words),
            Step::Read(of, words) if !self.answers.is_empty() => {
                let index = of % self.answers.len();
                for _ in 0..words {
                    let answer = &mut self.answers[index];
                    let mut body = Pin::new(&mut answer.body);
                    let frame = std::future::poll_fn(|context| body.as_mut().poll_frame(context));
                    match self.runtime.block_on(frame) {
                        Some(word) => {
                            word.unwrap();
                            answer.tokens += WORD;
                        }
                        None => return self.end(index),
                    }
                }
            }
            Step::HangUp(of) if !self.answers.is_empty() => self.end(of % self.answers.len()),
            Step::Read(..) | Step::HangUp(_) => {}
        }
    }

    fn ask(&mut self, user: usize, words: u32) {
        let request = Request::get(format!("/answer/{words}")).header(USER, name(user));
        let request = request.body(Body::empty()).unwrap();
        let expected = self.used(user) + u64::from(RESERVE) <= u64::from(BUDGET);
        let response = self.runtime.block_on(self.router.clone().oneshot(request)).unwrap();
        let admitted = response.status() == StatusCode::OK;
        assert_eq!(admitted, expected, "{:?}", response.headers());
        if admitted {
            let (asked, body) = (self.now, response.into_body());
            self.charges.push(Charge { user, at: asked, tokens: RESERVE, is_excess: false });
            self.answers.push(Answer { user, asked, body, tokens: 0 });
        }
    }

    /// Ends an answer, and settles it: what it did not use is given back if it still counts, and what
    /// it used beyond its reserve counts from now on.
    fn end(&mut self, index: usize) {
        let Answer { user, asked, body, tokens } = self.answers.swap_remove(index);
        drop(body);
        if tokens == 0 {
            // Nothing was ever added, so the reserve stays.
            return;
        }
        if tokens > RESERVE {
            let excess = Charge { user, at: self.now, tokens: tokens - RESERVE, is_excess: true };
            self.charges.push(excess);
        } else if asked + MINUTE > self.now {
            let is_reserve = |charge: &&mut Charge| {
                (charge.user, charge.at, charge.is_excess) == (user, asked, false)
                    && charge.tokens == RESERVE
            };
            self.charges.iter_mut().find(is_reserve).unwrap().tokens = tokens;
        }
    }

    fn assert_exact(&self, user: usize) {
        let subject = Subject::header(USER, name(user));
        let peek = self.runtime.block_on(self.limiter.peek(&TOKENS, &subject, 1)).unwrap();
        let used = self.used(user);
        assert_eq!(u64::from(peek.remaining()), u64::from(BUDGET).saturating_sub(used));
        let refused = matches!(peek.outcome(), Outcome::Refused { .. });
        assert_eq!(refused, used >= u64::from(BUDGET));
    }

    /// In any minute, a user uses at most the budget, and what the answers that ended in it came to
    /// beyond their reserve.
    fn assert_bounded(&self) {
        for first in &self.charges {
            let within = self.charges.iter().filter(|charge| {
                charge.user == first.user && (first.at..first.at + MINUTE).contains(&charge.at)
            });
            let reserved = within.filter(|charge| !charge.is_excess);
            let sum: u64 = reserved.map(|charge| u64::from(charge.tokens)).sum();
            assert!(sum <= u64::from(BUDGET), "{first:?}");
        }
    }
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(scaled(60, 3_000)))]

    #[test]
    fn used_tokens_are_charged_once(steps in steps()) {
        let mut budget = Budget::new();
        for step in steps {
            budget.step(step);
            if let Step::Ask(user, _) = step {
                budget.assert_exact(user);
            }
        }
        while !budget.answers.is_empty() {
            budget.end(0);
        }
        (0..USERS).for_each(|user| budget.assert_exact(user));
        budget.assert_bounded();
    }
}
