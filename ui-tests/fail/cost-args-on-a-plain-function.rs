use tollgate::rate_limit;

#[rate_limit(100, per = 60, cost = args(texts.len()))]
async fn embed(texts: &[String]) -> Result<usize, tollgate::RateLimited> {
    Ok(texts.len())
}

fn main() {}
