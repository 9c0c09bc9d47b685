use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args(id), on_missing_key = exempt)]
async fn call(id: u32) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
