//! Bans in a full memory backend: half of its keys may be banned, those stay whose bans end last, and
//! the other half is there for others.

use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Ban, Clock as _, Policy, Quota};

use super::bans::{HOUR, SECOND, banned_for, check, is_banned, memory};
use support::at_once;
use support::log::Log;
use support::reference::cases;

/// Bans beyond half of the keys, by hand: those that end soonest give way.
#[tokio::test]
async fn half_of_the_keys_may_be_banned() {
    let (limiter, backend, clock) = memory(10);
    let (log, _listening) = Log::of_this_thread(tracing::Level::WARN);
    let policy = Policy::new("plain", Quota::per_minute(10));
    let lengths = [40, 10, 80, 20, 70, 60, 50];
    for (subject, length) in lengths.iter().enumerate() {
        limiter.ban(&policy, &subject.to_string(), *length * SECOND).await.unwrap();
    }
    let banned = || {
        let all = lengths.iter().enumerate();
        let banned = all.map(|(subject, length)| {
            let said = check(&limiter, &policy, &subject.to_string());
            assert!(said.is_allowed() || said.outcome() == banned_for(*length * SECOND));
            is_banned(&said).then_some(*length)
        });
        banned.flatten().collect::<Vec<_>>()
    };
    assert_eq!(banned(), [40, 80, 70, 60, 50]);
    assert_eq!(backend.stats().bans_lifted, 2);
    // One that ends sooner than all others does not get in at all.
    limiter.ban(&policy, "1", 5 * SECOND).await.unwrap();
    assert_eq!((banned().len(), backend.stats().bans_lifted), (5, 3));
    let told = log.text().matches("half of the memory backend's keys are banned").count();
    assert_eq!(told, 1, "{}", log.text());
    // A ban that is over or was lifted by hand makes room.
    clock.advance(40 * SECOND);
    assert!(limiter.unban(&policy, "2").await.unwrap());
    for subject in ["7", "8"] {
        limiter.ban(&policy, subject, SECOND).await.unwrap();
        assert!(is_banned(&check(&limiter, &policy, subject)));
    }
    assert_eq!(backend.stats().bans_lifted, 3);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ban(usize, u64),
    /// A request that is refused, which begins a ban.
    Request(usize),
    Unban(usize),
    Reset(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let subject = || 0_usize..12;
    let step = prop_oneof![
        8 => (subject(), 1_000_u64..=20_000).prop_map(|(subject, span)| Step::Ban(subject, span)),
        4 => subject().prop_map(Step::Request),
        2 => subject().prop_map(Step::Unban),
        1 => subject().prop_map(Step::Reset),
        4 => (0_u64..=5_000).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

/// The bans in force, by their ends, at most so many.
struct BanList {
    most: usize,
    list: Vec<(u64, String)>,
    lifted: u64,
}

impl BanList {
    fn until(&self, subject: &str, at: u64) -> Option<u64> {
        let mut all = self.list.iter();
        all.find(|(until, other)| other == subject && *until > at).map(|(until, _)| *until)
    }

    fn remove(&mut self, subject: &str) {
        self.list.retain(|(_, other)| other != subject);
    }

    fn ban(&mut self, subject: &str, at: u64, span: u64) {
        let before = self.until(subject, at).unwrap_or(0);
        self.remove(subject);
        self.list.retain(|(until, _)| *until > at);
        self.list.push((before.max(at + span), subject.to_owned()));
        self.list.sort();
        if self.list.len() > self.most {
            self.list.remove(0);
            self.lifted += 1;
        }
    }
}

/// The length of the bans that refusals begin.
const LENGTH: u64 = 7_000;

proptest! {
    #![proptest_config(cases(300, 20_000))]

    /// At each time those are banned that a plain list has, of which the first to end goes when there
    /// are too many.
    #[test]
    fn the_list_of_bans_is_as_long_as_it_may_be(max_keys in 12_usize..=16, steps in steps()) {
        let (limiter, backend, clock) = memory(max_keys);
        let ban = Ban::new(1, Duration::from_micros(LENGTH));
        let policy = Policy::new("plain", Quota::per_day(1)).ban(ban);
        let mut list = BanList { most: max_keys / 2, list: Vec::new(), lifted: 0 };
        for step in steps {
            let at = clock.now_micros();
            match step {
                Step::Ban(subject, span) => {
                    let subject = subject.to_string();
                    list.ban(&subject, at, span);
                    at_once(limiter.ban(&policy, &subject, Duration::from_micros(span))).unwrap();
                }
                Step::Request(subject) => {
                    let subject = subject.to_string();
                    let was_banned = list.until(&subject, at).is_some();
                    let said = check(&limiter, &policy, &subject);
                    prop_assert_eq!(is_banned(&said), was_banned || !said.is_allowed());
                    if is_banned(&said) && !was_banned {
                        let begun = banned_for(Duration::from_micros(LENGTH));
                        prop_assert_eq!(said.outcome(), begun);
                        list.ban(&subject, at, LENGTH);
                    }
                }
                Step::Unban(subject) => {
                    let subject = subject.to_string();
                    let was_banned = list.until(&subject, at).is_some();
                    list.remove(&subject);
                    let unbanned = at_once(limiter.unban(&policy, &subject)).unwrap();
                    prop_assert_eq!(unbanned, was_banned);
                }
                Step::Reset(subject) => {
                    let subject = subject.to_string();
                    list.remove(&subject);
                    at_once(limiter.reset(&policy, &subject)).unwrap();
                }
                Step::Pass(micros) => clock.advance(Duration::from_micros(micros)),
            }
            let at = clock.now_micros();
            for subject in 0..12 {
                let subject = subject.to_string();
                let peek = at_once(limiter.peek(&policy, &subject, 1)).unwrap();
                let left = list.until(&subject, at).map(|until| until - at);
                let expected = left.map(|left| banned_for(Duration::from_micros(left)));
                prop_assert_eq!(is_banned(&peek).then(|| peek.outcome()), expected);
            }
            prop_assert_eq!(backend.stats().bans_lifted, list.lifted);
        }
    }
}

/// A flood of subjects that are banned for a day, each for two requests: once their quotas have come
/// back, the other half of the keys is there for others, who are counted one by one. Which keys meet in a
/// shard is up to chance, so there are several stores of the largest size.
#[test]
fn a_flood_of_bans_pins_no_more_than_half_of_the_keys() {
    for max_keys in [10_usize, 64].into_iter().chain([1_000; 12]) {
        let (limiter, backend, clock) = memory(max_keys);
        let policy = Policy::new("flood", Quota::per_second(1)).ban(Ban::new(1, 24 * HOUR));
        for subject in 0..3 * max_keys {
            for _ in 0..2 {
                let _ = check(&limiter, &policy, &subject.to_string());
            }
            clock.advance(3 * SECOND / u32::try_from(max_keys).unwrap());
        }
        clock.advance(2 * SECOND);
        let banned = (0..3 * max_keys)
            .filter(|subject| {
                is_banned(&at_once(limiter.peek(&policy, &subject.to_string(), 1)).unwrap())
            })
            .count();
        assert!(banned <= max_keys / 2, "{banned} of {max_keys} keys are banned");
        assert!(banned >= max_keys / 4, "only {banned} of {max_keys}");
        let (before, other) = (backend.stats().overflowed, Policy::new("other", Quota::per_day(5)));
        let others = max_keys / 4;
        for _ in 0..5 {
            for subject in 0..others {
                let _ = check(&limiter, &other, &format!("new {subject}"));
            }
        }
        let shared = backend.stats().overflowed - before;
        println!("{max_keys} keys, {banned} banned: {shared} of {} share a counter", 5 * others);
        assert!(shared <= others as u64 / 5, "{shared} of {} found no room", 5 * others);
        // The one that was banned last is none of those that gave way.
        assert!(is_banned(&check(&limiter, &policy, &(3 * max_keys - 1).to_string())));
    }
}
