use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
const fn call() -> Result<(), tollgate::RateLimited> {
    Ok(())
}

fn main() {}
