//! Plays the day of a fleet, and prints what comes of it.

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use lexopt::prelude::*;
use simulated::figures::Figures;
use simulated::fleet::{Fleet, Mode};
use simulated::play;

const HELP: &str = "\
Usage: tollgate-simulated [OPTIONS]

  --seed N         the seed of all chance (1)
  --hours N        how long the fleet is watched, in whole hours (24)
  --instances N    its instances (1000)
  --subjects N     its clients (100000)
  --rate N         their requests in a second, in all (200)
  --limit N        the limit of a client in a minute (60)
  --mode NAME      only the modes whose names begin so
  --small          the fleet of the test, to look at a seed at which it fails; stands first
  --threads N      how many modes are played at a time (2)
";

struct Options {
    fleet: Fleet,
    modes: Vec<Mode>,
    threads: usize,
}

fn options() -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { fleet: Fleet::large(1), modes: Mode::all(), threads: 2 };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        let fleet = &mut options.fleet;
        match argument {
            Long("seed") => fleet.seed = parser.value()?.parse()?,
            Long("hours") => {
                fleet.slots = parser.value()?.parse::<u64>()? * 3_600_000_000 / fleet.slot;
            }
            Long("instances") => fleet.instances = parser.value()?.parse::<usize>()?.max(1),
            Long("subjects") => fleet.subjects = parser.value()?.parse::<usize>()?.max(1),
            Long("rate") => fleet.rate = parser.value()?.parse::<u64>()?.max(1),
            Long("limit") => fleet.limit = parser.value()?.parse::<u32>()?.max(1),
            Long("small") => *fleet = Fleet::small(1),
            Long("mode") => {
                let name = parser.value()?.string()?;
                options.modes.retain(|mode| mode.name.starts_with(&name));
            }
            Long("threads") => options.threads = parser.value()?.parse::<usize>()?.max(1),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some(Options { fleet, modes, threads }) = options()? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let Fleet { seed, instances, subjects, rate, limit, .. } = fleet;
    let hours = fleet.slots as f64 * fleet.slot as f64 / 3.6e9;
    println!(
        "seed {seed}: {instances} instances, {subjects} subjects, {rate} requests a second, {limit} a minute, \
         {} faults in {hours} hours",
        fleet.slots
    );
    let started = Instant::now();
    let mut all = Vec::new();
    for modes in modes.chunks(threads) {
        let played: Vec<(Figures, f64)> = thread::scope(|scope| {
            let threads: Vec<_> = modes
                .iter()
                .map(|mode| {
                    scope.spawn(|| {
                        let started = Instant::now();
                        (play(&fleet, mode), started.elapsed().as_secs_f64())
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        if played.len() < modes.len() {
            return Err("a run has panicked".into());
        }
        all.extend(modes.iter().zip(played));
    }
    println!("{}", Figures::heading());
    for (mode, (figures, _)) in &all {
        println!("{}", figures.row(mode.name));
    }
    for (mode, (figures, seconds)) in &all {
        println!("{} ({seconds:.0} s)\n{}", mode.name, figures.details());
    }
    println!("played in {:.0} s", started.elapsed().as_secs_f64());
    let is_kept = all.iter().all(|(_, (figures, _))| figures.breaches == 0);
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
