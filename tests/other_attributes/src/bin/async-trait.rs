//! async-trait, with `refund_if`|function|above

use async_trait::async_trait;
use other_attributes::{Error, nothing, run};
use tollgate::rate_limit;

#[async_trait]
trait Orders {
    async fn order(&self, id: u32, fails: bool) -> Result<u32, Error>;

    #[rate_limit(2, per = 60, key = args())]
    async fn by_default(&self) -> Result<u32, Error> {
        Ok(1)
    }
}

#[derive(PartialEq)]
struct Server {
    tenant: u32,
}

#[async_trait]
impl Orders for Server {
    #[rate_limit(2, per = 60, key = args(self.tenant), refund_if = failure)]
    async fn order(&self, id: u32, fails: bool) -> Result<u32, Error> {
        if fails {
            return Err(Error::Own);
        }
        Ok(id)
    }
}

#[tokio::main]
async fn main() {
    let server = Server { tenant: 7 };
    run(
        async |id| {
            for _ in 0..3 {
                let _ = server.order(id, true).await;
            }
            let by_default = server.by_default().await.is_ok();
            let admitted = server.order(id, false).await.is_ok();
            assert_eq!(admitted, by_default);
            admitted
        },
        nothing,
    )
    .await;
}
