use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn double(number: u32) -> Result<String, String> {
    Ok((2 * number).to_string())
}

fn main() {}
