//! Traces worked out by hand, which the reference and the limiter must both follow.
//!
//! A line says when (after an instant at which windows of 10 s and granules of 1 ms begin), what,
//! and what must come of it:
//!
//! ```text
//! 5s  take 3 a  => yes | 1 2s 9s | …    charges 3; `a` names the charge
//! 5s  take 3    => wait 2s | !1 2s 9s   is refused for 2 s
//! 5s  take 9    => never | !1 2s 9s     can never be admitted
//! 5s  peek 3    => …                    the same, charging nothing
//! 6s  back a    => yes                  gives the charge back; `no`: there was nothing to give
//! 7s  reset
//! ```
//!
//! After `|`, for each quota: `!` if it is exceeded, what remains, when there is more, when all
//! is back. Instants and spans are sums of `d`, `s`, `ms` and `us`.

mod buckets;
mod fixed_window;
mod sliding_window;
mod sliding_window_counter;

use std::collections::HashMap;
use std::time::Duration;

use tollgate::{Algorithm, Decision, Outcome, QuotaState};

use support::reference::{DAY, Expected, Numbers, Reference, said};
use support::subject::Subject;

/// A whole number of days since the epoch.
const BEGIN: u64 = 20_000 * DAY;

/// The limit, and the period as it is written in the lines.
fn per(limit: u32, period: &str) -> Numbers {
    Numbers::new(limit, micros(period))
}

fn follow(algorithm: Algorithm, traces: &[(&str, &[Numbers], &str)]) {
    assert!(traces.len() >= 10);
    for (about, quotas, lines) in traces {
        let mut follower = Follower {
            reference: Reference::new(algorithm, quotas),
            subject: Subject::new(algorithm, quotas),
            charges: HashMap::new(),
        };
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines {
            follower.follow(line, &format!("{algorithm:?}, {about}: {line}"));
        }
    }
}

struct Follower<'a> {
    reference: Reference,
    subject: Subject,
    /// The charges by name: when, how much, and what the limiter said.
    charges: HashMap<&'a str, (u64, u32, Decision)>,
}

impl<'a> Follower<'a> {
    fn follow(&mut self, line: &'a str, place: &str) {
        let (question, answer) = line.split_once("=>").unwrap_or((line, ""));
        let words: Vec<&str> = question.split_whitespace().collect();
        let now = BEGIN + micros(words[0]);
        self.subject.set(now);
        match words[1..] {
            ["take", cost, ref name @ ..] => {
                let cost = cost.parse().unwrap();
                let expected = expected(answer);
                let charged = self.reference.charge(now, cost).without_waits();
                assert_eq!(charged, expected, "reference: {place}");
                let decision = self.subject.check(cost);
                assert_eq!(said(&decision).without_waits(), expected, "limiter: {place}");
                if let [name] = name {
                    self.charges.insert(name, (now, cost, decision));
                }
            }
            ["peek", cost] => {
                let cost = cost.parse().unwrap();
                let expected = expected(answer);
                let peeked = self.reference.peek(now, cost).without_waits();
                assert_eq!(peeked, expected, "reference: {place}");
                let peeked = said(&self.subject.peek(cost)).without_waits();
                assert_eq!(peeked, expected, "limiter: {place}");
            }
            ["back", name] => {
                let (stamp, cost, decision) = self.charges.remove(name).unwrap();
                let expected = answer.trim() == "yes";
                assert_eq!(self.reference.refund(now, stamp, cost), expected, "reference: {place}");
                assert_eq!(self.subject.refund(decision), expected, "limiter: {place}");
            }
            ["reset"] => {
                self.reference.reset();
                self.subject.reset();
            }
            _ => panic!("no such line: {place}"),
        }
    }
}

fn expected(answer: &str) -> Expected {
    let mut parts = answer.split('|').map(str::trim);
    let outcome = match parts.next().unwrap().split_whitespace().collect::<Vec<_>>()[..] {
        ["yes"] => Outcome::Allowed,
        ["wait", span] => Outcome::Refused { retry_after: duration(span) },
        ["never"] => Outcome::Never,
        _ => panic!("no such answer: {answer}"),
    };
    let quotas = parts.map(|quota| {
        let exceeded = quota.starts_with('!');
        let words: Vec<&str> = quota.trim_start_matches('!').split_whitespace().collect();
        let [remaining, more, whole] = words[..] else { panic!("no such quota: {quota}") };
        QuotaState::new(exceeded, remaining.parse().unwrap(), duration(more), duration(whole))
    });
    Expected { outcome, quotas: quotas.collect(), waits: Vec::new() }
}

fn duration(span: &str) -> Duration {
    Duration::from_micros(micros(span))
}

fn micros(sum: &str) -> u64 {
    sum.split('+').map(term).sum()
}

fn term(term: &str) -> u64 {
    let digits = term.find(|c: char| !c.is_ascii_digit()).unwrap_or(term.len());
    let (number, unit) = term.split_at(digits);
    let number: u64 = number.parse().unwrap();
    match unit {
        "d" => number * DAY,
        "s" => number * 1_000_000,
        "ms" => number * 1_000,
        "us" => number,
        "" if number == 0 => 0,
        _ => panic!("no such span: {term}"),
    }
}
