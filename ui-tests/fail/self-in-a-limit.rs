use tollgate::rate_limit;

struct Mailer;

impl Mailer {
    const LIMIT: u32 = 100;

    #[rate_limit(Self::LIMIT, per = 60, key = args())]
    async fn send(&self) -> Result<(), tollgate::RateLimited> {
        Ok(())
    }
}

fn main() {}
