use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args(id))]
async fn call(id: u32) -> Result<u32, std::num::ParseIntError> {
    Ok(id)
}

fn main() {}
