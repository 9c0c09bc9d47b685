use tollgate::{RateLimited, rate_limit};

#[rate_limit(100, per = 60, key = (args(id), ip))]
fn not_async(id: u32) -> Result<(), RateLimited> {
    let _ = id;
    Ok(())
}

#[rate_limit(100, per = 60, key = (args(name), ip))]
async fn plain_function(name: &str) -> Result<(), RateLimited> {
    let _ = name;
    Ok(())
}

struct Mailer;

impl Mailer {
    #[rate_limit(100, per = 60, key = (ip, args(name)))]
    async fn method(&self, name: String) -> Result<(), RateLimited> {
        let _ = name;
        Ok(())
    }
}

fn main() {}
