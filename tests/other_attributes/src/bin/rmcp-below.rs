//! rmcp `tool`, error of rmcp by `refusal`|function|below

use other_attributes::run;
use rmcp::model::{CallToolResult, ContentBlock, ErrorData};
use rmcp::{tool, tool_router};
use tollgate::{RateLimited, rate_limit};

#[derive(Clone)]
struct Server;

fn refused(limited: RateLimited) -> ErrorData {
    ErrorData::internal_error(limited.to_string(), None)
}

#[tool_router]
impl Server {
    #[rate_limit(2, per = 60, key = args(), refusal = self::refused)]
    #[tool(description = "Answers.")]
    async fn ping(&self) -> Result<CallToolResult, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text("pong")]))
    }
}

#[tokio::main]
async fn main() {
    run(async |_| Server.ping().await.is_ok(), async || {
        let tools = Server::tool_router().list_all();
        format!("described as {:?}", tools[0].description)
    })
    .await;
}
