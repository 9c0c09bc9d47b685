use tollgate::rate_limit;

trait Send {
    #[rate_limit(100, per = 60, key = args(to))]
    async fn send(&self, to: &str) -> Result<(), tollgate::RateLimited>;
}

fn main() {}
