use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args(ids))]
async fn call(ids: Vec<u32>) -> Result<(), tollgate::RateLimited> {
    drop(ids);
    Ok(())
}

fn main() {}
