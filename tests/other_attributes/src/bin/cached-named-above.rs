//! cached `cached`, limit with a `name`|function|above

use other_attributes::{Error, nothing, run};
use tollgate::rate_limit;

#[cached::macros::cached]
#[rate_limit(2, per = 60, key = args(), name = "orders")]
async fn order(id: u32) -> Result<u32, Error> {
    Ok(id)
}

#[tokio::main]
async fn main() {
    run(async |id| order(id).await.is_ok(), nothing).await;
}
