//! Settlements and bans: Redis answers as memory does, to the microsecond.

use std::cell::RefCell;
use std::time::Duration;

use proptest::prelude::*;
use tollgate::backend::{Action, Answer, Operation};
use tollgate::{
    Algorithm, Backend, Ban, Check, MemoryBackend, Outcome, Policy, QuotaState, RedisBackend,
    Settled,
};

use crate::timed::{PATIENCE, Timed};
use support::forms::{Form, forms};
use support::reference::{Numbers, START, cases, for_all_six, micros, quotas, said};
use support::subject::{Memory, Store as _};

/// What is done with a key. Forms are the numbers of policies; receipts are counted from the last.
#[derive(Clone, Copy, Debug)]
enum Step {
    Charge(usize, u32),
    Peek(usize, u32),
    Refund {
        back: usize,
        forgives: bool,
    },
    /// Settles a charge at its cost plus so much.
    Settle {
        back: usize,
        more: i64,
    },
    Ban(u64),
    Unban,
    Reset,
}

/// How time passes.
#[derive(Clone, Copy, Debug)]
enum Gap {
    Micros(u64),
    /// To so many microseconds after the instant that the last refusal of this trace named.
    Retry(usize, i64),
}

/// A policy by a form, and the numbers of its ban: after so many refusals, the first one's length in
/// milliseconds, the factor and the longest one's length in lengths of the first.
type Ruled = (Form, Option<(u32, u64, u32, u32)>);

fn policy(((algorithm, numbers), ban): &Ruled) -> Policy {
    let policy = Numbers::policy(*algorithm, numbers);
    let Some((after, millis, grow, most)) = *ban else { return policy };
    let first = Duration::from_millis(millis);
    policy.ban(Ban::new(after, first).grow(grow).most(first * most))
}

fn with_rules(forms: impl Strategy<Value = Vec<Form>>) -> impl Strategy<Value = Vec<Ruled>> {
    let millis = prop_oneof![Just(1_u64), 1_u64..=40, Just(2_000)];
    let rule = prop::option::weighted(0.7, (1_u32..=4, millis, 1_u32..=3, 1_u32..=9));
    (forms, prop::collection::vec(rule, 4))
        .prop_map(|(forms, rules)| forms.into_iter().zip(rules).collect())
}

fn step() -> impl Strategy<Value = Step> {
    let form = || 0_usize..4;
    let cost = || prop_oneof![4 => Just(1_u32), 2 => 1_u32..=12, 1 => 0_u32..=200];
    let less = || -12_i64..=0;
    let more = prop_oneof![
        6 => less(),
        3 => 1_i64..=12,
        2 => 1_i64..=2_000,
        1 => Just(i64::from(u32::MAX)),
        1 => Just(i64::from(u32::MAX) / 3),
    ];
    let back = || 0_usize..6;
    let ban = prop_oneof![Just(1_000_u64), 1_000_u64..=2_000_000, Just(10 * 366 * 86_400_000_000)];
    prop_oneof![
        24 => (form(), cost()).prop_map(|(form, cost)| Step::Charge(form, cost)),
        5 => (form(), cost()).prop_map(|(form, cost)| Step::Peek(form, cost)),
        3 => (back(), any::<bool>()).prop_map(|(back, forgives)| Step::Refund { back, forgives }),
        6 => (back(), more).prop_map(|(back, more)| Step::Settle { back, more }),
        1 => ban.prop_map(Step::Ban),
        1 => Just(Step::Unban),
        1 => Just(Step::Reset),
    ]
}

fn gap() -> impl Strategy<Value = Gap> {
    let share =
        (prop::sample::select(vec![10_000_u64, 1_000_000, 1_884_967, 90_000_000]), 0_u64..=2_200)
            .prop_map(|(period, share)| period * share / 1_000);
    prop_oneof![
        3 => Just(Gap::Micros(0)),
        2 => (0_u64..=3).prop_map(Gap::Micros),
        2 => (0_u64..=2_000_000).prop_map(Gap::Micros),
        3 => share.prop_map(Gap::Micros),
        6 => (0_usize..100, -1_i64..=1).prop_map(|(trace, delta)| Gap::Retry(trace, delta)),
    ]
}

#[derive(Clone, Debug)]
struct Traces {
    gaps: Vec<Gap>,
    traces: Vec<(Vec<Ruled>, Vec<Vec<Step>>)>,
}

/// So many traces beside each other, at the same times. Each step of a trace is some operations in
/// one call.
fn traces(
    ruled: impl Strategy<Value = Vec<Ruled>>,
    count: usize,
    length: usize,
) -> impl Strategy<Value = Traces> {
    let steps = prop::collection::vec(prop::collection::vec(step(), 1..=3), length);
    let traces = prop::collection::vec((ruled, steps), count);
    (prop::collection::vec(gap(), length), traces)
        .prop_map(|(gaps, traces)| Traces { gaps, traces })
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Verdict(Outcome, Vec<QuotaState>),
    Other(Answer),
}

#[derive(Clone, Copy, Debug)]
struct Receipt {
    form: usize,
    stamp: u64,
    cost: u32,
}

/// One trace, as one store plays it.
struct Player {
    subject: String,
    policies: Vec<Policy>,
    receipts: Vec<Receipt>,
    retry_at: Option<u64>,
}

impl Player {
    fn operation(&self, step: Step) -> Operation<'_> {
        let check = |form: usize, cost| {
            Check::new(&self.policies[form % self.policies.len()], &self.subject, cost)
        };
        let receipt = |back: usize| self.receipts.iter().rev().nth(back).copied();
        match step {
            Step::Charge(form, cost) => Operation::charge(check(form, cost)),
            Step::Peek(form, cost) => Operation::peek(check(form, cost)),
            Step::Refund { back, forgives: wanted } => match receipt(back) {
                Some(Receipt { form, stamp, cost }) => {
                    let mut operation = Operation::refund(check(form, cost), stamp);
                    if let Action::Refund { forgives, .. } = &mut operation.action {
                        *forgives = wanted;
                    }
                    operation
                }
                None => Operation::unban(check(0, 0)),
            },
            Step::Settle { back, more } => match receipt(back) {
                Some(Receipt { form, stamp, cost }) => {
                    let actual = (i64::from(cost) + more).clamp(0, i64::from(u32::MAX));
                    let actual = u32::try_from(actual).unwrap();
                    Operation::settle(check(form, cost), stamp, actual)
                }
                None => Operation::peek(check(0, 1)),
            },
            Step::Ban(span) => Operation::ban(check(1, 0), Duration::from_micros(span)),
            Step::Unban => Operation::unban(check(1, 0)),
            Step::Reset => Operation::reset(check(0, 0)),
        }
    }

    fn note(&mut self, step: Step, now: u64, answer: Answer) -> Said {
        let Answer::Verdict(verdict) = answer else {
            assert_ne!(answer, Answer::Unsupported);
            return Said::Other(answer);
        };
        let outcome = verdict.outcome();
        match (step, outcome) {
            (Step::Charge(form, cost), Outcome::Allowed) => {
                self.receipts.push(Receipt { form, stamp: verdict.stamp_micros(), cost });
            }
            (_, Outcome::Refused { retry_after } | Outcome::Banned { retry_after }) => {
                self.retry_at = Some(now + micros(retry_after));
            }
            _ => {}
        }
        Said::Verdict(outcome, verdict.quotas().to_vec())
    }
}

/// Plays the traces on both stores. Returns how many answers there were of each kind.
fn compare(timed: &Timed, traces: &Traces) -> Result<[usize; 5], TestCaseError> {
    let on_redis = RedisBackend::builder(&timed.server.url()).virtual_time(timed.clock.clone());
    let on_redis = on_redis.deadline(PATIENCE).build().unwrap();
    let in_memory = MemoryBackend::builder().clock(timed.clock.clone()).build();
    let mut players: Vec<[Player; 2]> = Vec::new();
    for (ruled, _) in &traces.traces {
        let subject = timed.subject();
        players.push([0, 1].map(|_| Player {
            subject: subject.clone(),
            policies: ruled.iter().map(policy).collect(),
            receipts: Vec::new(),
            retry_at: None,
        }));
    }
    let mut histories = vec![Vec::new(); players.len()];
    let (mut now, mut counts) = (START, [0; 5]);
    for (at, gap) in traces.gaps.iter().enumerate() {
        now = match *gap {
            Gap::Micros(micros) => now + micros,
            Gap::Retry(trace, delta) => match players[trace % players.len()][0].retry_at {
                // Some waits are of years.
                Some(retry_at) if retry_at > now + 1 => retry_at.saturating_add_signed(delta),
                _ => now,
            },
        };
        timed.clock.set_micros(now);
        let play = |store: usize| {
            let mut steps = Vec::new();
            for (trace, (_, all)) in traces.traces.iter().enumerate() {
                let operations = all[at].iter().map(|step| players[trace][store].operation(*step));
                steps.extend(operations);
            }
            timed.runtime.block_on(async {
                match store {
                    0 => on_redis.apply(&steps).await,
                    _ => in_memory.apply(&steps).await,
                }
            })
        };
        let [mut redis, mut memory] = [0, 1].map(|store| play(store).into_iter());
        for (trace, (ruled, all)) in traces.traces.iter().enumerate() {
            for step in &all[at] {
                let [on_redis, in_memory] = &mut players[trace];
                let redis = on_redis.note(*step, now, redis.next().unwrap().unwrap());
                let memory = in_memory.note(*step, now, memory.next().unwrap().unwrap());
                let history = &mut histories[trace];
                history.push(format!("{} {step:?} {memory:?}", now - START));
                let history = || format!("{ruled:?}\n{}", history.join("\n"));
                prop_assert_eq!(&redis, &memory, "redis, memory: {}", history());
                match memory {
                    Said::Verdict(Outcome::Banned { .. }, _) => counts[0] += 1,
                    Said::Other(Answer::Settled(Settled::Charged)) => counts[1] += 1,
                    Said::Other(Answer::Settled(Settled::Refunded)) => counts[2] += 1,
                    Said::Other(Answer::Unbanned(true)) => counts[3] += 1,
                    Said::Other(Answer::Refunded(true)) => counts[4] += 1,
                    _ => {}
                }
            }
        }
    }
    Ok(counts)
}

fn is_as_in_memory(ruled: impl Strategy<Value = Vec<Ruled>>) {
    let timed = Timed::start();
    let counts = RefCell::new([0; 5]);
    // A failure tells the trace itself, which is one of many.
    let config = ProptestConfig { max_shrink_iters: 0, ..cases(2, 400) };
    proptest!(config, |(traces in traces(ruled, 50, 40))| {
        let more = compare(&timed, &traces)?;
        counts.borrow_mut().iter_mut().zip(more).for_each(|(count, more)| *count += more);
    });
    // Each kind of answer was among them.
    assert!(counts.borrow().iter().all(|count| *count > 0), "{counts:?}");
}

fn small_quotas_are_as_in_memory(algorithm: Algorithm) {
    is_as_in_memory(with_rules(forms(Some(algorithm))));
}

for_all_six!(small_quotas_are_as_in_memory);

fn all_quotas_are_as_in_memory(algorithm: Algorithm) {
    let form = quotas(algorithm).prop_map(move |numbers| vec![(algorithm, numbers)]);
    is_as_in_memory(with_rules(form));
}

for_all_six!(all_quotas_are_as_in_memory);

#[test]
fn changes_of_the_algorithm_are_as_in_memory() {
    is_as_in_memory(with_rules(forms(None)));
}

/// A clock that is set back takes a ban with it: in memory and on Redis alike.
#[test]
fn a_ban_moves_back_with_the_clock_as_in_memory() {
    let timed = Timed::start();
    let memory = Memory::new();
    let hour = 3_600_000_000;
    for back in [0, 1, 99_999, 100_000, 100_001, 5_000_000, 2 * hour] {
        for &algorithm in Algorithm::ALL {
            let numbers = [Numbers::new(2, 60_000_000)];
            let ruled = ((algorithm, numbers.to_vec()), Some((2, 3_600_000, 2, 8)));
            let (policy, subject) = (policy(&ruled), timed.subject());
            let set = |now| {
                timed.clock.set_micros(now);
                memory.clock().set_micros(now);
            };
            let now = START + 3 * hour;
            let mut outcomes = Vec::new();
            for at in
                [now, now, now + 1, now + 2, now + 3, now + 3 - back, now + hour, now + hour + 2]
            {
                set(at);
                let on_redis = timed.check(&policy, &subject, 1);
                let in_memory = memory.check(&policy, &subject, 1);
                assert_eq!(said(&on_redis), said(&in_memory), "{algorithm:?}, {back} at {at}");
                outcomes.push(on_redis.outcome());
            }
            assert!(matches!(outcomes[4], Outcome::Banned { .. }), "{outcomes:?}");
            assert!(matches!(outcomes[5], Outcome::Banned { .. }), "{outcomes:?}");
        }
    }
}

/// The key of a subject without a ban or a debt is as it would be without either, before and after.
#[test]
fn bans_and_debts_leave_nothing_behind() {
    let timed = Timed::start();
    let mut connection = timed.server.connection();
    let mut value = |subject: &str| -> Vec<u8> {
        let key = format!("tollgate:6:policy:{subject}");
        redis::cmd("GET").arg(key).query(&mut connection).unwrap()
    };
    for &algorithm in Algorithm::ALL {
        for limit in [3, 200] {
            timed.clock.set_micros(START);
            let plain = Numbers::policy(algorithm, &[Numbers::new(limit, 60_000_000)]);
            let ruled = plain.clone().ban(Ban::new(2, Duration::from_secs(60)));
            let limiter = &timed.limiter;
            let [one, other] = [timed.subject(), timed.subject()];
            let charged = timed.check(&ruled, &one, limit);
            assert!(timed.check(&plain, &other, limit).is_allowed());
            assert_eq!(value(&one), value(&other), "{algorithm:?}");
            assert!(!timed.check(&ruled, &one, 1).is_allowed());
            let settled = timed.runtime.block_on(limiter.settle(charged, 2 * limit)).unwrap();
            assert_eq!(settled, Settled::Charged);
            let outcome = timed.check(&ruled, &one, 1).outcome();
            assert!(matches!(outcome, Outcome::Banned { .. }), "{outcome:?}");
            assert!(value(&one).len() > value(&other).len(), "{algorithm:?}");
            // After the ban, the window of refusals and the memory of bans.
            timed.clock.advance(Duration::from_secs(60 * 40));
            assert!(timed.check(&ruled, &one, 1).is_allowed());
            assert!(timed.check(&plain, &other, 1).is_allowed());
            assert_eq!(value(&one), value(&other), "{algorithm:?}");
        }
    }
}

/// A refusal that is counted writes only the record, where the value is a long one.
#[test]
fn the_ring_of_a_long_log_is_not_written_by_refusals() {
    let timed = Timed::start();
    let mut connection = timed.server.connection();
    let limit = 1_000;
    let plain = Numbers::policy(Algorithm::SlidingWindow, &[Numbers::new(limit, 60_000_000)]);
    let ruled = plain.ban(Ban::new(100, Duration::from_secs(60)));
    let subject = timed.subject();
    for _ in 0..4 {
        timed.clock.advance(Duration::from_micros(3));
        assert!(timed.check(&ruled, &subject, limit / 4).is_allowed());
    }
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut connection).unwrap();
    for _ in 0..20 {
        timed.clock.advance(Duration::from_micros(3));
        assert!(!timed.check(&ruled, &subject, 1).is_allowed());
    }
    let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut connection).unwrap();
    assert!(!stats.contains("cmdstat_set:"), "{stats}");
    assert!(stats.contains("cmdstat_setrange:calls=40,"), "{stats}");
}

/// A refund finds that all is over, and gives nothing back. The key stays, in memory and on Redis, and
/// with it the instant since when a part that is set aside later is known to count.
#[test]
fn a_refund_of_nothing_leaves_the_key_as_it_is() {
    let counter = |limit, period| Numbers { limit, period, burst: None };
    let form = |numbers| ((Algorithm::SlidingWindowCounter, numbers), None);
    let second = 1_884_967;
    let ruled = vec![
        form(vec![counter(27, second), counter(18, second), counter(5, 10_000)]),
        form(vec![counter(5, 10_000), counter(9, 10_000)]),
        form(vec![counter(19, second), counter(26, 10_000), counter(10, 10_000)]),
    ];
    let refund = |back| Step::Refund { back, forgives: false };
    let long_after = 316_224_000_000_000;
    let steps = [
        (long_after + 170_917_737, Step::Charge(1, 4)),
        (0, Step::Charge(2, 1)),
        (2_408_987, refund(0)),
        (11_710, Step::Charge(0, 1)),
        (3, Step::Charge(1, 1)),
        (1_315_884, Step::Charge(0, 1)),
        (0, Step::Charge(0, 1)),
        (0, Step::Charge(1, 1)),
        (664_000, refund(3)),
    ];
    let gaps = steps.iter().map(|(gap, _)| Gap::Micros(*gap)).collect();
    let steps = steps.iter().map(|(_, step)| vec![*step]).collect();
    let traces = Traces { gaps, traces: vec![(ruled, steps)] };
    assert_eq!(compare(&Timed::start(), &traces).unwrap()[4], 1);
}

/// A refusal that is counted writes a value in place beside a log of another quota whose units, those of
/// a debt, have just expired, and whose header is shorter then.
#[test]
fn a_log_that_time_has_emptied_is_written_as_a_whole() {
    let fixed = |limit, period| Numbers { limit, period, burst: None };
    let second = 1_884_967;
    let windows = vec![fixed(1_100, 1_000_000), fixed(1_065, second), fixed(21, 10_000)];
    let logs = vec![fixed(19, 1_000_000), fixed(5, second)];
    let ruled = vec![
        ((Algorithm::FixedWindow, windows), None),
        ((Algorithm::SlidingWindow, logs), Some((1, 1, 3, 8))),
    ];
    let steps = [
        (717006, Step::Charge(3, 153)),
        (2, Step::Peek(2, 11)),
        (917969, Step::Charge(3, 77)),
        (90911, Step::Charge(0, 1)),
        (0, Step::Peek(0, 1)),
        (0, Step::Charge(3, 1)),
        (0, Step::Peek(2, 1)),
        (116640000, Step::Charge(2, 1)),
        (0, Step::Charge(0, 8)),
        (0, Step::Charge(2, 1)),
        (1900779, Step::Charge(3, 1)),
        (0, Step::Settle { back: 3, more: 4294967295 }),
        (0, Step::Charge(2, 11)),
        (0, Step::Settle { back: 0, more: 9 }),
        (0, Step::Settle { back: 1, more: -4 }),
        (0, Step::Charge(2, 5)),
        (1846000, Step::Charge(2, 1)),
        (0, Step::Ban(344963)),
        (0, Step::Charge(3, 1)),
        (0, Step::Charge(1, 1)),
        (0, Step::Settle { back: 2, more: 558 }),
        (0, Step::Charge(0, 200)),
        (1, Step::Settle { back: 3, more: 6 }),
        (0, Step::Charge(2, 7)),
        (0, Step::Charge(2, 1)),
        (0, Step::Charge(1, 88)),
        (597230, Step::Charge(1, 1)),
        (0, Step::Charge(3, 1)),
        (0, Step::Refund { back: 2, forgives: true }),
        (814094, Step::Peek(3, 1)),
    ];
    let gaps = steps.iter().map(|(gap, _)| Gap::Micros(*gap)).collect();
    let steps = steps.iter().map(|(_, step)| vec![*step]).collect();
    let traces = Traces { gaps, traces: vec![(ruled, steps)] };
    compare(&Timed::start(), &traces).unwrap();
}
