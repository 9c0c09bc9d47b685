//! The picture of the algorithms in the guide is what the algorithms do: it is drawn again here.
//!
//! `TOLLGATE_DRAW=1 cargo test --test repository pictures` writes it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tollgate::testing::{self, ManualClock};
use tollgate::{Algorithm, Limiter, Policy, Quota};

const LIMIT: u32 = 10;
const SECOND: u64 = 1_000_000;
const PERIOD: u64 = 10 * SECOND;
const END: u64 = 24 * SECOND;
const START: u64 = 1_767_268_800 * SECOND;

/// One request, a pause that nearly fills the period, then more than any limit lets through.
fn attempts() -> impl Iterator<Item = u64> {
    std::iter::once(0).chain((9 * SECOND..END).step_by(SECOND as usize / 10))
}

/// Which of the attempts are admitted.
async fn admitted(limiter: &Limiter, clock: &ManualClock, algorithm: Algorithm) -> Vec<u64> {
    let quota = Quota::new(LIMIT, Duration::from_micros(PERIOD));
    let policy = Policy::named(format!("{algorithm:?}"), quota).algorithm(algorithm);
    let mut admitted = Vec::new();
    for attempt in attempts() {
        clock.set_micros(START + attempt);
        if limiter.check(&policy, "alice").await.unwrap().is_allowed() {
            admitted.push(attempt);
        }
    }
    admitted
}

/// The most that any window of one period holds.
fn most_in_a_window(admitted: &[u64]) -> usize {
    let held =
        |&from: &u64| admitted.iter().filter(|at| (from..from + PERIOD).contains(at)).count();
    admitted.iter().map(held).max().unwrap_or(0)
}

async fn picture() -> String {
    let (limiter, clock) = testing::limiter();
    let x = |micros: u64| 190 + micros * 26 / SECOND;
    let tenth = |micros: u64| 1_900 + micros * 260 / SECOND;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 330\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"currentColor\" style=\"max-width:900px\">\n\
         <title>10 requests in 10 s, by each algorithm</title>\n",
    );
    for seconds in (0..=20).step_by(10) {
        let at = x(seconds * SECOND);
        writeln!(
            svg,
            "<path d=\"M{at} 22V302\" stroke=\"currentColor\" stroke-opacity=\".3\"/>\
             <text x=\"{at}\" y=\"320\" text-anchor=\"middle\">{seconds} s</text>"
        )
        .unwrap();
    }
    svg.push_str("<text x=\"788\" y=\"14\">most in any 10 s</text>\n");
    for (row, &algorithm) in Algorithm::ALL.iter().enumerate() {
        let top = 28 + 46 * row;
        let admitted = admitted(&limiter, &clock, algorithm).await;
        writeln!(svg, "<text x=\"6\" y=\"{}\">{}</text>", top + 22, algorithm.as_str()).unwrap();
        for (kind, from, height, colour) in [(false, 24, 8, "#d1495b"), (true, 4, 28, "#2a8c5a")] {
            let mut path = String::new();
            for at in attempts().filter(|at| admitted.contains(at) == kind) {
                let at = tenth(at);
                write!(path, "M{}.{} {}v{height}", at / 10, at % 10, top + from).unwrap();
            }
            writeln!(svg, "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"1.6\"/>").unwrap();
        }
        let most = most_in_a_window(&admitted);
        writeln!(svg, "<text x=\"836\" y=\"{}\">{most}</text>", top + 22).unwrap();
    }
    svg.push_str("</svg>\n");
    svg
}

#[tokio::test]
async fn the_algorithms_are_drawn_as_they_are() {
    let path = Path::new(support::ROOT).join("runtime/src/docs/guide/algorithms.svg");
    let drawn = picture().await;
    if std::env::var_os("TOLLGATE_DRAW").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).is_ok_and(|kept| kept == drawn),
        "{} is not what the algorithms do: draw it by `TOLLGATE_DRAW=1 cargo test --test repository pictures`",
        path.display()
    );
}
