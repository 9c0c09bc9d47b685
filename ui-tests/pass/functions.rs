#![deny(warnings, unused_qualifications)]

use tollgate::{RateLimited, rate_limit};

struct Job {
    id: u32,
}

impl Job {
    #[rate_limit(10, per = second, key = args(self.id), wait = "1s")]
    async fn run(&mut self) -> Result<&mut u32, RateLimited> {
        Ok(&mut self.id)
    }

    #[rate_limit(10, per = second)]
    fn start(&self) -> Result<u32, RateLimited> {
        Ok(self.id)
    }
}

/// A boxed error takes it in, too.
#[rate_limit(10, per = second, key = args(name), refund_if = failure)]
async fn boxed(name: &str) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    Ok(name.parse()?)
}

#[rate_limit(10, per = second)]
fn opaque() -> Result<impl Iterator<Item = u32>, RateLimited> {
    Ok(0..3)
}

fn main() {
    let mut job = Job { id: 1 };
    let _ = job.start();
    drop(job.run());
    drop(boxed("a"));
    let _ = opaque();
}
