use tollgate::rate_limit;

struct Mailer;

impl Mailer {
    #[rate_limit(100, per = 60)]
    async fn send(&self) -> Result<(), tollgate::RateLimited> {
        Ok(())
    }
}

fn main() {}
