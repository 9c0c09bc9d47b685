//! cached `cached`, limit with a `name`|function|below

use other_attributes::{Error, nothing, run};
use tollgate::rate_limit;

#[rate_limit(2, per = 60, key = args(), name = "orders")]
#[cached::macros::cached]
async fn order(id: u32) -> Result<u32, Error> {
    Ok(id)
}

#[tokio::main]
async fn main() {
    run(async |id| order(id).await.is_ok(), nothing).await;
}
