use tollgate::rate_limit;

fn slow_down(_: &tollgate::http::Refusal<'_>) -> Vec<u32> {
    Vec::new()
}

#[rate_limit(100, per = 60, refusal = self::slow_down)]
async fn handler() {}

fn main() {}
