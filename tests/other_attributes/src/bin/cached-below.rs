//! cached `cached`|function|below

use other_attributes::{Error, run};
use tollgate::rate_limit;

#[rate_limit(2, per = 60, key = args())]
#[cached::macros::cached]
async fn order(id: u32) -> Result<u32, Error> {
    Ok(id)
}

#[tokio::main]
async fn main() {
    run(async |id| order(id).await.is_ok(), async || {
        let hit = order(1).await.is_ok();
        format!("a hit is {}", if hit { "free" } else { "charged" })
    })
    .await;
}
