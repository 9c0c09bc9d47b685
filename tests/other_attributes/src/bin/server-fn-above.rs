//! server_fn `server` (Leptos)|function|above

use other_attributes::{nothing, run};
use server_fn::ServerFnError;
use tollgate::rate_limit;

#[server_fn_macro_default::server]
#[rate_limit(2, per = 60, key = args())]
async fn order(id: u32) -> Result<u32, ServerFnError> {
    Ok(id)
}

#[tokio::main]
async fn main() {
    run(async |id| order(id).await.is_ok(), nothing).await;
}
