//! Signs in with a wrong password until that is refused, and unlocks the account.

use axum::body::Body;
use axum::http::{Request, header};
use sign_in::app;
use tollgate::testing::{self, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (limiter, _clock) = testing::limiter();
    let client = Client::new(app(), &limiter);
    let post = async |path: &str, body: String| {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let response = client.send(request.body(Body::from(body))?).await;
        let wait = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str());
        let wait = wait.transpose()?.map_or(String::new(), |span| format!(", again in {span} s"));
        println!("{path}: {}{wait}", response.status());
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let login =
        |password: &str| format!(r#"{{"email":"alice@example.com","password":"{password}"}}"#);
    for _ in 0..5 {
        post("/sign-in", login("wrong")).await?;
    }
    println!("The sixth is refused, even with the right password. Ten refusals begin a ban:");
    for _ in 0..10 {
        post("/sign-in", login("correct horse")).await?;
    }
    println!("Support unlocks the account for the address:");
    post("/unlock", r#"{"email":"Alice@example.com","address":"192.0.2.1"}"#.to_owned()).await?;
    post("/sign-in", login("correct horse")).await?;
    Ok(())
}
