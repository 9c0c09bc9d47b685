use std::time::Duration;

use tollgate::rate_limit;

const NONE: u32 = 0;
const SHORT: Duration = Duration::from_micros(999);
const FINE: Duration = Duration::from_nanos(1_000_000_001);
const CENTURY: Duration = Duration::from_secs(100 * 366 * 86_400);

#[rate_limit(100, per = 60, ban(after = NONE, for = SHORT, grow = self::NONE, most = 60))]
async fn zero_and_short() {}

#[rate_limit(100, per = 60, ban(after = 5, for = FINE))]
async fn a_part_of_a_microsecond() {}

#[rate_limit(100, per = 60, ban(after = 5, for = 60, most = SHORT))]
async fn shorter_in_the_end() {}

#[rate_limit(100, per = 60, key = args(), ban(after = 5, for = 60, most = CENTURY))]
async fn too_long() -> Result<(), tollgate::RateLimited> {
    Ok(())
}

fn main() {}
