//! server_fn `server` (Leptos)|function|below

use other_attributes::{nothing, run};
use server_fn::ServerFnError;
use tollgate::rate_limit;

#[rate_limit(2, per = 60, key = args())]
#[server_fn_macro_default::server]
async fn order(id: u32) -> Result<u32, ServerFnError> {
    Ok(id)
}

#[tokio::main]
async fn main() {
    run(async |id| order(id).await.is_ok(), nothing).await;
}
