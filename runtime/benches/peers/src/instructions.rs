//! Instructions per warm check and per request, counted by callgrind.
//!
//! Each case runs in a process of its own, in which callgrind counts within [`counted`] and nowhere
//! else: start-up is not in it, which takes some millions of instructions, never as many twice, as
//! the clock is compared with the operating system's for a while.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tollgate::{Algorithm, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer};
use tower::Service as _;

use crate::callgrind::callgrind;
use crate::decide::admits;
use crate::{http, name};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The cases; those over HTTP are printed without the instructions of the bare handler.
const CASES: [&str; 8] = [
    "memory.gcra.admitted",
    "memory.gcra.refused",
    "memory.sliding_window.admitted",
    "memory.sliding_window.refused",
    BARE,
    "http.attribute",
    "http.layer",
    "http.refused",
];
const BARE: &str = "http.bare";
/// Keys, or clients, which take turns.
const KEYS: u32 = 100;
/// Operations before those that are counted: enough for each key's state to be past its first
/// allocations.
const WARM: u32 = 50 * KEYS;
const COUNTED: u32 = 20_000;
/// Its quota is never used up twice.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Prints `instructions NAME VALUE` for each case.
pub(crate) fn run() -> Result<()> {
    let mut bare = 0.0;
    for case in CASES {
        let per_operation = count(case)? / f64::from(COUNTED);
        if case == BARE {
            bare = per_operation;
        }
        let is_added = case.starts_with("http.") && case != BARE;
        println!("instructions {case} {:.1}", per_operation - if is_added { bare } else { 0.0 });
    }
    Ok(())
}

/// Instructions of a case, within [`counted`].
fn count(case: &str) -> Result<f64> {
    match callgrind(&[], "peers::instructions::counted", ["instructions-of", case])?[..] {
        [instructions] => Ok(instructions),
        ref counts => Err(format!("callgrind counted {counts:?} of {case}").into()),
    }
}

/// The only function whose instructions count, with those that it calls.
#[inline(never)]
fn counted(operations: &mut dyn FnMut(u32) -> Result<()>) -> Result<()> {
    operations(COUNTED)
}

/// Runs a case, given its name.
pub(crate) fn run_case(case: &str) -> Result<()> {
    match case.split('.').collect::<Vec<_>>()[..] {
        ["memory", algorithm, outcome] => check(algorithm, outcome == "refused"),
        ["http", kind] => request(kind),
        _ => Err(format!("there is no case {case}").into()),
    }
}

fn check(algorithm: &str, is_refused: bool) -> Result<()> {
    let algorithm = Algorithm::ALL.iter().copied().find(|known| name(*known) == algorithm);
    let algorithm = algorithm.ok_or("there is no such algorithm")?;
    let quota = match algorithm {
        _ if is_refused => Quota::new(1, YEAR),
        // Each entry of the log expires within a few rounds, so that the log stays short.
        Algorithm::SlidingWindow => Quota::new(1_000, Duration::from_millis(1)),
        _ => Quota::new(1, Duration::from_secs(1)).burst(300_000_000),
    };
    let policy = Policy::new("peers::instructions::handler", quota).algorithm(algorithm);
    let limiter = Limiter::new(MemoryBackend::new());
    let keys: Vec<String> = (0..KEYS).map(|key| format!("10.0.{}.{}", key / 7, key)).collect();
    let mut check = |operations| {
        for operation in 0..operations {
            let key = &keys[(operation % KEYS) as usize];
            if admits(&limiter, &policy, key) == is_refused && operations != KEYS {
                return Err("the check was not decided as the case says".into());
            }
        }
        Ok(())
    };
    // The first check of each key is admitted in any case.
    check(KEYS)?;
    check(WARM)?;
    counted(&mut check)
}

fn request(kind: &str) -> Result<()> {
    tollgate::set_limiter(Limiter::new(MemoryBackend::new()));
    let plain = Router::new().route("/", get(http::bare));
    let mut app = match kind {
        "bare" => plain,
        "attribute" => Router::new().route("/", get(http::annotated)),
        "layer" => plain.layer(RateLimitLayer::new(http::LAYERED)),
        "refused" => Router::new().route("/", get(http::refusing)),
        _ => return Err("there is no such kind of handler".into()),
    };
    let expected = if kind == "refused" { 429 } else { 200 };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut ask = |requests| {
        runtime.block_on(async {
            for request in 0..requests {
                let response = app.call(http::request(request % KEYS * 257)).await?;
                if response.status() != expected && requests != KEYS {
                    return Err(format!("a request was answered {}", response.status()).into());
                }
                black_box(response);
            }
            Ok(())
        })
    };
    // The first request of each client is admitted in any case.
    ask(KEYS)?;
    ask(WARM)?;
    counted(&mut ask)
}
