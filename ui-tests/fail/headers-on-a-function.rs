use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args(id), headers = none)]
async fn call(id: u32) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
