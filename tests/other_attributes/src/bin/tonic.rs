//! tonic `async_trait`, `Status` by `refusal`|function|below

use other_attributes::{nothing, run};
use tollgate::{RateLimited, rate_limit};
use tonic::{Code, Request, Response, Status};

/// What tonic generates of a service.
#[tonic::async_trait]
trait Orders: Send + Sync + 'static {
    async fn order(&self, request: Request<u32>) -> Result<Response<u32>, Status>;
}

struct Server;

fn refused(limited: RateLimited) -> Status {
    Status::resource_exhausted(limited.to_string())
}

#[tonic::async_trait]
impl Orders for Server {
    #[rate_limit(2, per = 60, key = args(), refusal = self::refused)]
    async fn order(&self, request: Request<u32>) -> Result<Response<u32>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

#[tokio::main]
async fn main() {
    run(
        async |id| match Server.order(Request::new(id)).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                false
            }
        },
        nothing,
    )
    .await;
}
