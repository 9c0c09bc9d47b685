use tollgate::rate_limit;

fn weight() -> u32 {
    1
}

#[rate_limit(100, per = 60, key = args(id), cost = self::weight)]
async fn call(id: u32) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
