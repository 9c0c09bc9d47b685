//! rmcp `tool`, error of rmcp by `refusal`|function|above

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
    #[tool(description = "Answers.")]
    #[rate_limit(2, per = 60, key = args(), refusal = self::refused)]
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
