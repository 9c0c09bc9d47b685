use tollgate::rate_limit;

#[rate_limit(
    in_flight = 20,
    algorithm = token_bucket,
    burst = 10,
    cost = 2,
    quota = self::plan,
    settle = usage,
    ban(after = 5, for = "15m"),
)]
async fn many() {}

#[rate_limit(in_flight = 20, refund_if = failure)]
async fn refunds() {}

#[rate_limit(in_flight = 20, key = args(name), cost = args(name.len()))]
async fn function(name: &str) -> Result<(), tollgate::RateLimited> {
    println!("{name}");
    Ok(())
}

fn main() {}
