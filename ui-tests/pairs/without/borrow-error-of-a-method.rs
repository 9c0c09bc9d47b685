#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn call(names: &mut Vec<String>) -> Result<&String, tollgate::RateLimited> {
    let first = &names[0];
    names.clear();
    Ok(first)
}

fn main() {}
