use std::io;

use tollgate::{RateLimited, rate_limit};

fn text(limited: RateLimited) -> String {
    limited.to_string()
}

async fn later(limited: RateLimited) -> io::Error {
    io::Error::other(limited)
}

#[rate_limit(100, per = 60, key = args(id), refusal = self::text)]
async fn another_error(id: u32) -> io::Result<u32> {
    Ok(id)
}

#[rate_limit(100, per = 60, key = args(id), refusal = self::later)]
async fn not_async(id: u32) -> io::Result<u32> {
    Ok(id)
}

#[rate_limit(100, per = 60, key = args(id), refusal = self::text)]
async fn no_result(id: u32) -> u32 {
    id
}

fn main() {}
