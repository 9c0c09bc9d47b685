//! The server's CPU for a check, of each algorithm against the plain script over one shared
//! connection. No limit is reached. `sliding_window` takes part three times:
//!
//! - `sliding_window`: a large limit, so that admissions share entries of the log;
//! - `sliding_window_1000`: 1000 per 60 s, so that each admission has an entry of its own, and
//!   short logs;
//! - `sliding_window_deep`: the same with fewer keys, whose logs are long from the beginning.
//!
//! Turns are short and many, because the server's time for a check of a single caller changes
//! threefold from one moment to the next, with what else the machine does.

use std::time::Duration;

use tollgate::{Algorithm, Policy, Quota};

use super::contenders::Contender;
use super::server::Server;
use super::turns::{Entrant, Turns};
use super::{HOUR, LIMIT, Result, policy, ratio, runtime};
use crate::{median, name};

const CALLERS: [u64; 3] = [1, 64, 256];
const ROUNDS: usize = 25;
const TURN: Duration = Duration::from_millis(50);
const LONG_LOG: u64 = 200;

pub(super) fn run() -> Result<()> {
    let server = Server::start()?;
    let (url, runtime) = (server.url(), runtime()?);
    let per_minute = |name| Policy::new(name, Quota::new(1000, Duration::from_secs(60)));
    let ours = |policy| Contender::ours(&url, policy);

    let plain = runtime.block_on(Contender::multiplexed(&url))?;
    let mut entrants = vec![("the plain script", Entrant::new(plain))];
    for &algorithm in Algorithm::ALL {
        let ours = ours(policy(algorithm, LIMIT, HOUR))?;
        entrants.push((name(algorithm), Entrant::new(ours)));
    }
    let (short, long) = ("sliding_window_1000", "sliding_window_deep");
    entrants.push((short, Entrant::new(ours(per_minute(short))?)));
    entrants.push((long, Entrant::with_keys(ours(per_minute(long))?, 1000, LONG_LOG)));

    let (names, entrants): (Vec<_>, Vec<_>) = entrants.into_iter().unzip();
    for callers in CALLERS {
        let (rounds, length) = (ROUNDS, TURN);
        let turns = Turns { server: &server, runtime: &runtime, callers, rounds, length };
        let samples = turns.measure(&entrants)?;
        for ((name, entrant), samples) in names.iter().zip(&entrants).zip(&samples) {
            println!(
                "{name}, {callers} callers: {:.2} us of the server's CPU for a check ({} to {:.0} checks of a key)",
                median(samples.cpu_micros.clone()),
                entrant.checked,
                samples.checked
            );
        }
        for (name, ours) in names.iter().zip(&samples).skip(1) {
            let ratio = ratio(&ours.cpu_micros, &samples[0].cpu_micros);
            println!("ratio redis.{name}.server_cpu.{callers} {ratio:.3}");
        }
    }
    Ok(())
}
