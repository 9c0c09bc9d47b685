use std::future::Future;
use std::pin::Pin;

use tollgate::{RateLimited, rate_limit};

struct Grid;

impl Grid {
    // What `#[async_trait]` makes of `async fn show(&self, (x, y): (u32, u32))`.
    #[rate_limit(5, per = 60, key = args(x, y))]
    fn show<'a>(
        &'a self,
        __arg1: (u32, u32),
    ) -> Pin<Box<dyn Future<Output = Result<u32, RateLimited>> + Send + 'a>> {
        Box::pin(async move {
            let __self = self;
            let (x, y) = __arg1;
            let __ret: Result<u32, RateLimited> = { Ok(x + y) };
            __ret
        })
    }

    #[rate_limit(5, per = 60, key = args(z))]
    fn named<'a>(
        &'a self,
        x: u32,
    ) -> Pin<Box<dyn Future<Output = Result<u32, RateLimited>> + Send + 'a>> {
        Box::pin(async move { Ok(x) })
    }
}

fn main() {}
