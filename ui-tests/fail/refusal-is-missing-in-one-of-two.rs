use std::io;

use tollgate::{RateLimited, rate_limit};

fn busy(limited: RateLimited) -> io::Error {
    io::Error::other(limited)
}

#[rate_limit(10, per = 60, key = args(id), refusal = self::busy)]
#[rate_limit(100, per = 60)]
async fn read(id: u32) -> io::Result<u32> {
    Ok(id)
}

fn main() {}
