//! cached `once`|function|below

use other_attributes::{Error, nothing, run};
use tollgate::rate_limit;

// One value is cached for all arguments, and no error is.
#[rate_limit(2, per = 60, key = args())]
#[cached::macros::once]
async fn order(id: u32) -> Result<u32, Error> {
    if id > 0 { Err(Error::Own) } else { Ok(id) }
}

#[tokio::main]
async fn main() {
    run(async |id| !matches!(order(id).await, Err(Error::Limited)), nothing).await;
}
