use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args(a), cost = args())]
fn none(a: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(a)
}

#[rate_limit(100, per = 60, key = args(a), cost = args)]
fn no_parentheses(a: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(a)
}

#[rate_limit(100, per = 60, key = args(a), cost = args(a, b))]
fn two(a: u32, b: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(a + b)
}

fn main() {}
