use tollgate::rate_limit;

#[rate_limit(in_flight = 20, hold = 0)]
async fn zero() {}

#[rate_limit(in_flight = 20, hold = "99ms")]
async fn too_short() {}

#[rate_limit(in_flight = 20, hold = "1d1us")]
async fn too_long() {}

#[rate_limit(in_flight = 20, hold = 86401)]
async fn too_many_seconds() {}

#[rate_limit(in_flight = 20, hold = -1)]
async fn negative() {}

#[rate_limit(in_flight = 20, hold = 1.5)]
async fn a_fraction() {}

#[rate_limit(in_flight = 20, hold = "a while")]
async fn no_length() {}

#[rate_limit(in_flight = 20, hold = week)]
async fn no_word() {}

fn main() {}
