use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn send(to: &str) -> Result<(), tollgate::RateLimited> {
    let _ = to;
    Ok(())
}

fn main() {}
