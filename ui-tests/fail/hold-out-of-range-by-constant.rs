use std::time::Duration;

use tollgate::rate_limit;

const SHORT: Duration = Duration::from_millis(99);
const LONG: u64 = 24 * 60 * 60 + 1;
const ODD: Duration = Duration::from_nanos(100_000_001);

#[rate_limit(in_flight = 20, hold = SHORT)]
async fn too_short() {}

#[rate_limit(in_flight = 20, hold = LONG)]
async fn too_long() {}

#[rate_limit(in_flight = 20, hold = ODD)]
async fn not_whole() {}

fn main() {}
