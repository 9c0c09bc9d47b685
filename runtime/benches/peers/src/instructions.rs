//! Instructions per warm check and per request, counted by callgrind.
//!
//! Each case runs twice in a process of its own, once with more operations than the other time. The
//! difference in instructions, divided by that in operations, leaves out start-up and needs no mark
//! in the program. The cases name nothing but the public API, so that they compile at other commits.

use std::error::Error;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tollgate::{Algorithm, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer};
use tower::Service as _;

use crate::http;

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
/// Operations of the shorter run: enough for each key's state to be past its first allocations.
const FEW: u32 = 50 * KEYS;
const MANY: u32 = FEW + 20_000;
/// Its quota is never used up twice.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Prints `instructions NAME VALUE` for each case.
pub(crate) fn run() -> Result<()> {
    let mut bare = 0.0;
    for case in CASES {
        let per_operation = (count(case, MANY)? - count(case, FEW)?) / f64::from(MANY - FEW);
        if case == BARE {
            bare = per_operation;
        }
        let is_added = case.starts_with("http.") && case != BARE;
        println!("instructions {case} {:.1}", per_operation - if is_added { bare } else { 0.0 });
    }
    Ok(())
}

/// Instructions of a process that runs that many operations of a case.
fn count(case: &str, operations: u32) -> Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["instructions-of", case, &operations.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start valgrind: {error}; install it"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected : "));
    match collected {
        Some((_, count)) if output.status.success() => Ok(count.trim().parse()?),
        _ => Err(format!("callgrind did not count {case}:\n{report}").into()),
    }
}

/// Runs a case, given its name and the number of operations.
pub(crate) fn run_case(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let case = arguments.next().ok_or("name the case")?;
    let operations = arguments.next().ok_or("name the number of operations")?.parse()?;
    match case.split('.').collect::<Vec<_>>()[..] {
        ["memory", algorithm, outcome] => check(algorithm, outcome == "refused", operations),
        ["http", kind] => request(kind, operations),
        _ => Err(format!("there is no case {case}").into()),
    }
}

fn check(algorithm: &str, is_refused: bool, operations: u32) -> Result<()> {
    let algorithm = Algorithm::ALL.iter().copied().find(|known| known.name() == algorithm);
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
    // The first check of each is admitted in any case.
    for operation in 0..KEYS + operations {
        let key = &keys[(operation % KEYS) as usize];
        let decision = limiter.check_now(&policy, key, 1).ok_or("memory answers at once")??;
        if operation >= KEYS && decision.is_allowed() == is_refused {
            return Err("the check was not decided as the case says".into());
        }
        let _ = black_box(decision);
    }
    Ok(())
}

fn request(kind: &str, operations: u32) -> Result<()> {
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
    tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
        // The first request of each client is admitted in any case.
        for operation in 0..KEYS + operations {
            let response = app.call(http::request(operation % KEYS * 257)).await?;
            if operation >= KEYS && response.status() != expected {
                return Err(format!("a request was answered {}", response.status()).into());
            }
            black_box(response);
        }
        Ok(())
    })
}
