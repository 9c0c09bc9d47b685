#![deny(unused)]

#[allow(unused_imports)]
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
pub async fn handler(mut other: axum::http::HeaderMap, body: String) -> &'static str {
    let unused = 1;
    Ok::<(), String>(());
    return "done";
    "never"
}

fn main() {}
