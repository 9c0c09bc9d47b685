//! Asks for answers of several lengths, and prints what is left of the budget after each.

use axum::body::to_bytes;
use token_budget::{BUDGET, RESERVE, TOKENS, USER, app};
use tollgate::Subject;
use tollgate::testing::{self, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (limiter, _clock) = testing::limiter();
    let client = Client::new(app(), &limiter);
    println!("alice has {BUDGET} tokens a minute");
    for words in [1, 5, 90, 60, 1] {
        let request = axum::http::Request::get(format!("/answer/{words}")).header(USER, "alice");
        let response = client.send(request.body(axum::body::Body::empty())?).await;
        let status = response.status();
        to_bytes(response.into_body(), usize::MAX).await?;
        let alice = Subject::header(USER, "alice");
        let state = limiter.peek(&TOKENS, &alice, RESERVE).await?;
        let wait = state.retry_after().map_or(String::new(), |span| format!("; again in {span:?}"));
        println!("{words:>2} words: {status}, {} left{wait}", state.remaining());
    }
    Ok(())
}
