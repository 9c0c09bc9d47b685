//! async-graphql `Object`, with a bare `#[rate_limit]` on the block|function|below

use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};
use other_attributes::{nothing, run};
use tollgate::rate_limit;

struct Query;

#[rate_limit]
#[Object]
impl Query {
    /// Shows an order.
    #[rate_limit(2, per = 60, key = args())]
    async fn order(&self, #[graphql(validator(maximum = 9))] id: u32) -> async_graphql::Result<u32> {
        Ok(id)
    }
}

#[tokio::main]
async fn main() {
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    run(async |id| schema.execute(format!("{{ order(id: {id}) }}")).await.is_ok(), nothing).await;
}
