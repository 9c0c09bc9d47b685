//! jsonrpsee `rpc(server)`, its own error by `refusal`; async, sync and blocking methods|function|below

use jsonrpsee::core::{RpcResult, async_trait};
use jsonrpsee::proc_macros::rpc;
use jsonrpsee::types::ErrorObjectOwned;
use other_attributes::{nothing, run};
use tollgate::{RateLimited, rate_limit};

#[rpc(server)]
trait Orders {
    #[method(name = "order")]
    async fn order(&self, id: u32) -> RpcResult<u32>;

    #[method(name = "order_now")]
    fn order_now(&self, id: u32) -> RpcResult<u32>;

    #[method(name = "order_blocking", blocking)]
    fn order_blocking(&self, id: u32) -> RpcResult<u32>;
}

struct Server;

fn refused(limited: RateLimited) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(-32_029, limited.to_string(), None::<()>)
}

#[async_trait]
impl OrdersServer for Server {
    #[rate_limit(2, per = 60, key = args(), refusal = self::refused)]
    async fn order(&self, id: u32) -> RpcResult<u32> {
        Ok(id)
    }

    #[rate_limit(2, per = 60, refusal = self::refused)]
    fn order_now(&self, id: u32) -> RpcResult<u32> {
        Ok(id)
    }

    #[rate_limit(2, per = 60, refusal = self::refused)]
    fn order_blocking(&self, id: u32) -> RpcResult<u32> {
        Ok(id)
    }
}

#[tokio::main]
async fn main() {
    let module = Server.into_rpc();
    run(
        async |id| {
            let mut admitted = Vec::new();
            for method in ["order", "order_now", "order_blocking"] {
                let answer: Result<u32, _> = module.call(method, [id]).await;
                if let Err(error) = &answer {
                    assert!(error.to_string().contains("-32029"), "{error}");
                }
                admitted.push(answer.is_ok());
            }
            assert!(admitted.windows(2).all(|pair| pair[0] == pair[1]), "{admitted:?}");
            admitted[0]
        },
        nothing,
    )
    .await;
}
