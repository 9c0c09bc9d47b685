//! Sends the same calls to each program before and after its move, and compares the decisions.
//!
//! ```console
//! cargo run --manifest-path tests/migration/Cargo.toml
//! ```
//!
//! Exit status 1: they differ.

mod axum_governor;
mod limitador;
mod tower_governor;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use tower::ServiceExt as _;

/// A request by its address and headers; none is a pause, in which one more request becomes due.
type Call<'a> = Option<(&'a str, &'a [(&'a str, &'a str)])>;

const PAUSE: Duration = Duration::from_millis(2_200);

/// Returns a letter for each call: admitted, refused, or a pause.
async fn decisions(app: &Router, calls: &[Call<'_>]) -> String {
    let mut decisions = String::new();
    for call in calls {
        let Some((address, headers)) = call else {
            tokio::time::sleep(PAUSE).await;
            decisions.push(' ');
            continue;
        };
        let mut request = Request::get("/");
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let peer: SocketAddr = address.parse().unwrap();
        let request = request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap();
        decisions.push(match app.clone().oneshot(request).await.unwrap().status() {
            StatusCode::OK => 'a',
            StatusCode::TOO_MANY_REQUESTS => 'r',
            other => panic!("{other}"),
        });
    }
    decisions
}

fn same(name: &str, before: &str, after: &str, expected: &str) -> bool {
    println!("{name}\n  before  {before}\n  after   {after}");
    let is_same = before == after && before == expected;
    if !is_same {
        println!("  this was {expected}");
    }
    is_same
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (ann, bob) = (Some(("192.0.2.1:1", &[][..])), Some(("192.0.2.2:1", &[][..])));
    let calls = [ann, ann, ann, ann, ann, ann, ann, bob, None, ann, ann, bob];
    let before = decisions(&tower_governor::before::app(), &calls).await;
    let after = decisions(&tower_governor::after::app(), &calls).await;
    let mut is_same = same("tower_governor", &before, &after, "aaaaarra ara");

    let free = Some(("192.0.2.1:1", &[("x-user", "ann")][..]));
    let pro = Some(("192.0.2.1:1", &[("x-user", "bob"), ("x-plan", "pro")][..]));
    let calls = [free, free, free, pro, pro, pro, pro, pro, pro, free];
    let before = decisions(&axum_governor::before::app(), &calls).await;
    let after = decisions(&axum_governor::after::app(), &calls).await;
    is_same &= same("axum-governor", &before, &after, "aaraaaaarr");

    let before = limitador::before::Orders::new();
    let after = limitador::after::Orders::new();
    let mut both = [String::new(), String::new()];
    let reads = ["ann", "ann", "ann", "ann", "bob", "ann"].map(|user| ("GET", user));
    for (method, user) in reads.into_iter().chain([("POST", "ann"), ("GET", "bob")]) {
        let decisions = [before.call(method, user).await, after.call(method, user).await];
        for (text, is_admitted) in both.iter_mut().zip(decisions) {
            text.push(if is_admitted { 'a' } else { 'r' });
        }
    }
    is_same &= same("limitador", &both[0], &both[1], "aaararaa");

    if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
