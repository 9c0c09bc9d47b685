use tollgate::rate_limit;

#[rate_limit(100, per = 60, wait = "1s")]
fn call(id: u32) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
