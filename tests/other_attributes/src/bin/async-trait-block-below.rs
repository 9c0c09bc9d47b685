//! async-trait on the block, with a bare `#[rate_limit]`|function|below

use async_trait::async_trait;
use other_attributes::{Error, nothing, run};
use tollgate::rate_limit;

#[async_trait]
trait Orders {
    async fn order(&self, id: u32) -> Result<u32, Error>;
}

struct Server {
    tenant: u32,
}

#[rate_limit]
#[async_trait]
impl Orders for Server {
    #[rate_limit(2, per = 60, key = args(self.tenant))]
    async fn order(&self, id: u32) -> Result<u32, Error> {
        Ok(id)
    }
}

#[tokio::main]
async fn main() {
    let server: Box<dyn Orders> = Box::new(Server { tenant: 7 });
    run(async |id| server.order(id).await.is_ok(), nothing).await;
}
