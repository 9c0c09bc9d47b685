use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args(id), exempt = net("10.0.0.0/8"))]
async fn call(id: u32) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
