use tollgate::rate_limit;

#[rate_limit(in_flight = 0)]
async fn nobody() {}

#[rate_limit(100, per = 60, in_flight = 4294967296)]
async fn too_many() {}

#[rate_limit(in_flight = -1)]
async fn negative() {}

#[rate_limit(in_flight = "20")]
async fn text() {}

#[rate_limit(in_flight = 1.5)]
async fn a_half() {}

fn main() {}
