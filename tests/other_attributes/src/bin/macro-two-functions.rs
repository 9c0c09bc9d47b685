//! `macro_rules!` that makes two functions with one `name`|function|above

use other_attributes::{Error, nothing, run};
use tollgate::rate_limit;

macro_rules! functions {
    ($($name:ident)*) => {$(
        #[rate_limit(2, per = 60, key = args(), name = "orders")]
        async fn $name() -> Result<(), Error> {
            Ok(())
        }
    )*};
}

functions!(list show);

#[tokio::main]
async fn main() {
    run(async |_| list().await.is_ok() | show().await.is_ok(), nothing).await;
}
