//! Checks per second, and the server's CPU for each: ours by the algorithm `gcra` against the other
//! contenders, with 1, 16, 64 and 256 callers at a time, and 10,000 keys of which none is ever
//! refused. The contenders take turns; each figure is the median of its turns.

use std::time::Duration;

use tokio::runtime::Runtime;
use tollgate::Algorithm;

use super::contenders::Contender;
use super::server::Server;
use super::turns::{Entrant, Samples, Turns};
use super::{HOUR, LIMIT, Result, policy, ratio, runtime};
use crate::median;

const CALLERS: [u64; 4] = [1, 16, 64, 256];
const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_millis(800);

pub(super) fn run() -> Result<()> {
    let server = Server::start()?;
    let (url, runtime) = (server.url(), runtime()?);
    let entrants = [
        ours(&url)?,
        Contender::pooled(&url)?,
        runtime.block_on(Contender::multiplexed(&url))?,
        #[cfg(feature = "limitador")]
        runtime.block_on(Contender::limitador(&url))?,
    ]
    .map(Entrant::new);
    for callers in CALLERS {
        let samples = measure(&server, &runtime, callers, &entrants)?;
        for (entrant, samples) in entrants.iter().zip(&samples) {
            println!(
                "{}, {callers} callers: {:.0} checks/s, {:.2} us of the server's CPU each",
                entrant.contender.name(),
                median(samples.rates.clone()),
                median(samples.cpu_micros.clone())
            );
        }
        let ours = &samples[0];
        for (entrant, theirs) in entrants.iter().zip(&samples).skip(1) {
            let name = entrant.contender.name();
            let rate = ratio(&ours.rates, &theirs.rates);
            let cpu = ratio(&ours.cpu_micros, &theirs.cpu_micros);
            println!("ratio redis.{name}.checks.{callers} {rate:.3}");
            println!("ratio redis.{name}.server_cpu.{callers} {cpu:.3}");
        }
    }
    Ok(())
}

/// Prints ours alone: checks per second, and microseconds of the server's CPU for each.
pub(super) fn figures() -> Result<()> {
    let server = Server::start()?;
    let (ours, runtime) = ([Entrant::new(ours(&server.url())?)], runtime()?);
    for callers in CALLERS {
        for samples in measure(&server, &runtime, callers, &ours)? {
            println!("figure redis.checks.{callers} {:.0}", median(samples.rates));
            println!("figure redis.server_cpu.{callers} {:.3}", median(samples.cpu_micros));
        }
    }
    Ok(())
}

fn measure(
    server: &Server,
    runtime: &Runtime,
    callers: u64,
    entrants: &[Entrant],
) -> Result<Vec<Samples>> {
    Turns { server, runtime, callers, rounds: ROUNDS, length: TURN }.measure(entrants)
}

fn ours(url: &str) -> Result<Contender> {
    Contender::ours(url, policy(Algorithm::Gcra, LIMIT, HOUR))
}
