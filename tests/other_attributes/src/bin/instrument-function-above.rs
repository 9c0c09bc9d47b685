//! tracing `instrument`|function|above

use other_attributes::{Error, Spans, run};
use tollgate::rate_limit;

#[tracing::instrument]
#[rate_limit(2, per = 60, key = args())]
async fn order(id: u32) -> Result<u32, Error> {
    Ok(id)
}

#[tokio::main]
async fn main() {
    let spans = Spans::record();
    run(async |id| order(id).await.is_ok(), async || spans.summary()).await;
}
