//! Permits in memory: taking one and releasing it, against a check by gcra in the same build. Both are
//! asked through `Limiter::check_now`, and the `Decision` is dropped, which releases the permit.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tollgate::{Algorithm, InFlight, Limiter, MemoryBackend, Policy, Quota};

use crate::median;

const ROUNDS: usize = 41;
const CHECKS: u32 = 200_000;
const KEYS: u32 = 1_000;

/// Never used up.
static GCRA: Policy =
    Policy::new("peers::gcra", Quota::new(1, Duration::from_secs(1)).burst(300_000_000))
        .algorithm(Algorithm::Gcra);
static PERMITS: Policy = Policy::in_flight_only("peers::permits", InFlight::new(10));

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let limiter = Limiter::new(MemoryBackend::new());
    let keys: Vec<String> =
        (0..KEYS).map(|key| format!("192.0.{}.{}", key / 250, key % 250)).collect();
    let time = |policy: &Policy| -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        for key in keys.iter().cycle().take(CHECKS as usize) {
            let decision = limiter.check_now(policy, key.as_str(), 1).ok_or("it has to wait")??;
            if !black_box(decision).is_allowed() {
                return Err("it refuses".into());
            }
        }
        Ok(start.elapsed().as_nanos() as f64 / f64::from(CHECKS))
    };
    time(&GCRA)?;
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (gcra, permit) = (time(&GCRA)?, time(&PERMITS)?);
        ratios.push(permit / gcra);
        ours.push(permit);
        theirs.push(gcra);
    }
    println!("take and release: {:.1} ns; gcra: {:.1} ns", median(ours), median(theirs));
    println!("ratio permits.memory {:.3}", median(ratios));
    Ok(())
}
