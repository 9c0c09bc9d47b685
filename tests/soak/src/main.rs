//! Lets processes use all features at once on real servers, brings faults, and watches what is let
//! through.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod callers;
mod chance;
mod clients;
mod conductor;
mod events;
mod faults;
mod figures;
mod lanes;
mod observer;
mod permits;
mod service;
mod worker;
mod world;

use std::process::ExitCode;

use lexopt::prelude::*;

const HELP: &str = "\
Usage: tollgate-soak [OPTIONS]

  --seconds N      how long the processes are watched (3600)
  --seed N         the seed of the faults and of what the processes do (1)
  --workers N      the processes on each store (4)
  --store NAME     only `single` or `sentinel` (both)
  --load N         the load in per cent (100)
  --doubt          the observer takes each promise to be more than it is: all must be seen broken
";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) load: u64,
    pub(crate) store: Option<String>,
    pub(crate) doubts: bool,
    /// What a process of its own is told: its number, where its store is, the file of its overrides and
    /// the zone of its days.
    pub(crate) worker: Option<(usize, String, String, String)>,
}

fn options() -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        seconds: 3_600,
        seed: 1,
        workers: 4,
        load: 100,
        store: None,
        doubts: false,
        worker: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => options.seconds = parser.value()?.parse()?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("workers") => options.workers = parser.value()?.parse::<usize>()?.max(2),
            Long("load") => options.load = parser.value()?.parse::<u64>()?.max(1),
            Long("store") => options.store = Some(parser.value()?.string()?),
            Long("doubt") => options.doubts = true,
            Long("worker") => {
                let number = parser.value()?.parse()?;
                let [url, file, zone] = [
                    parser.value()?.string()?,
                    parser.value()?.string()?,
                    parser.value()?.string()?,
                ];
                options.worker = Some((number, url, file, zone));
            }
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

fn main() -> Result<ExitCode, lexopt::Error> {
    let Some(options) = options()? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    if options.worker.is_some() {
        worker::work(&options);
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "seed {}, {} s, {} processes on each store",
        options.seed, options.seconds, options.workers
    );
    let is_kept = world::play_all(&options);
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
