//! Limits on requests in flight by configuration, on the dashboard and in the metrics.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use support::exporter::Exporter;
use tollgate::{
    Config, Dashboard, InFlight, Limiter, MemoryBackend, Override, Overrides, Policy, Quota,
};
use tower::ServiceExt as _;

const EXPORTS: Policy = Policy::in_flight_only("exports", InFlight::new(2));
const ANSWERS: Policy = Policy::new("answers", Quota::per_minute(60)).in_flight(InFlight::new(3));
const RATE: Policy = Policy::new("rate", Quota::per_minute(5));

fn limiter() -> Limiter {
    Limiter::builder(MemoryBackend::new()).declare(EXPORTS).declare(ANSWERS).declare(RATE).build()
}

/// Sets the overrides of a file with these lines, or returns what is wrong with it.
fn set(limiter: &Limiter, lines: &str, number: usize) -> Result<(), String> {
    let name = format!("tollgate-in-flight-{}-{number}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, lines).unwrap();
    let overrides = read(&path);
    std::fs::remove_file(&path).unwrap();
    limiter.set_overrides(overrides?).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Overrides, String> {
    let config = Config::load_with(path, []).map_err(|error| error.to_string())?;
    config.overrides().map_err(|error| error.to_string())
}

/// Takes permits of a subject until there are none, and returns how many there were.
async fn free(limiter: &Limiter, policy: &Policy, subject: &str) -> usize {
    let mut held = Vec::new();
    while let Ok(permit) = limiter.permit(policy, subject).await {
        assert!(!permit.is_empty() && held.len() < 100);
        held.push(permit);
    }
    held.len()
}

#[tokio::test]
async fn a_file_says_how_many() {
    let limiter = limiter();
    for (number, (policy, lines, expected)) in [
        (&EXPORTS, "", 2),
        (&EXPORTS, "[policies.exports]\nin_flight = 7", 7),
        (&EXPORTS, "[policies.exports]\nin_flight = 1\non_error = \"open\"", 1),
        (&EXPORTS, "[policies.exports]\nblock = true\nin_flight = 9", 0),
        (&EXPORTS, "[policies.exports]\nin_flight = 9\nquotas = [{ limit = 4, per = \"1d\" }]", 4),
        (&ANSWERS, "[policies.answers]\nin_flight = 5\nlimit = 1000", 5),
        (&ANSWERS, "[policies.answers]\nin_flight = 4294967295\nlimit = 7\nper = \"1s\"", 7),
    ]
    .into_iter()
    .enumerate()
    {
        set(&limiter, lines, number).unwrap();
        assert_eq!(free(&limiter, policy, lines).await, expected, "{lines}");
        assert_eq!(limiter.stats().in_flight, 0, "{lines}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_told() {
    let limiter = limiter();
    for (number, (lines, expected)) in [
        ("[policies.exports]\nin_flight = 0", "at least 1 request must be allowed in flight"),
        ("[policies.exports]\nin_flight = -1", "in_flight"),
        ("[policies.exports]\nin_flight = 4294967296", "in_flight"),
        ("[policies.exports]\nin_flight = 1.5", "in_flight"),
        ("[policies.exports]\nin_flight = \"twenty\"", "in_flight"),
        ("[policies.exports]\nin_fligt = 5", "did you mean `in_flight`?"),
        ("[policies.exports]\nhold = \"10s\"", "no such key"),
        ("[policies.exports]\nlimit = 5", "which `in_flight` changes"),
        ("[policies.exports]\nper = \"1m\"", "which `in_flight` changes"),
        ("[policies.exports]\nban = { after = 5, for = \"1m\" }", "give it a quota"),
        ("[policies.rate]\nin_flight = 5", "declared without a limit on requests in flight"),
    ]
    .into_iter()
    .enumerate()
    {
        let error = set(&limiter, lines, 100 + number).unwrap_err();
        assert!(error.contains(expected), "{lines}: {error}");
        assert!(limiter.overrides().is_empty(), "{lines}");
    }
}

#[tokio::test]
async fn the_dashboard_shows_how_many_are_held_and_changes_the_number() {
    let limiter = limiter();
    let dashboard = Dashboard::new(limiter.clone()).allow_changes(true);
    let router = Router::new().nest("/limits", dashboard.into_router());
    let send = async |request: axum::http::request::Builder, body: &str| {
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        (response.status(), support::text(response).await)
    };
    let card = async |policy: &str| {
        let (_, page) = send(Request::get("/limits"), "").await;
        let (_, rest) = page.split_once(&format!("<h2>{policy}</h2>")).unwrap();
        rest.split_once("</section>").unwrap().0.to_owned()
    };
    let first = limiter.permit(&EXPORTS, "alice").await.unwrap();
    let second = limiter.permit(&EXPORTS, "bob").await.unwrap();
    let other = limiter.permit(&ANSWERS, "alice").await.unwrap();
    let exports = card("exports").await;
    assert!(exports.contains("<b>2 at a time</b>"), "{exports}");
    assert!(exports.contains("in flight in this process: 2"), "{exports}");
    // Nothing is told of an algorithm that decides nothing, nor asked of a quota that is not there.
    assert!(exports.contains(">closed when the store fails"), "{exports}");
    assert!(!exports.contains("name=\"limit\""), "{exports}");
    let answers = card("answers").await;
    assert!(answers.contains("<b>60 per 1m, 3 at a time</b>"), "{answers}");
    assert!(answers.contains("in flight in this process: 1"), "{answers}");
    assert!(answers.contains("sliding_window, closed when the store fails"), "{answers}");
    let rate = card("rate").await;
    assert!(!rate.contains("in flight"), "{rate}");
    drop((first, second, other));
    assert!(card("exports").await.contains("in flight in this process: 0"));

    let post = || Request::post("/limits").header("sec-fetch-site", "same-origin");
    let (status, text) = send(post(), "policy=exports&in_flight=5&limit=&per=").await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{text}");
    assert_eq!(limiter.overrides().get("exports"), Some(&Override::new().in_flight(5)));
    assert_eq!(free(&limiter, &EXPORTS, "carol").await, 5);
    let exports = card("exports").await;
    assert!(exports.contains("<b>5 at a time</b>") && exports.contains("overridden"), "{exports}");
    assert!(exports.contains("written: 2 at a time"), "{exports}");
    assert!(exports.contains("name=\"in_flight\" value=\"5\""), "{exports}");
    for (form, expected) in [
        ("policy=exports&in_flight=0", "at least 1 request must be allowed in flight"),
        ("policy=exports&in_flight=many", "`many` is no whole number"),
        ("policy=rate&in_flight=5", "declared without a limit on requests in flight"),
    ] {
        let (status, text) = send(post(), form).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        assert!(text.contains(expected), "{form}: {text}");
        assert_eq!(limiter.overrides().get("exports"), Some(&Override::new().in_flight(5)));
    }
    let (status, _) = send(post(), "policy=exports&action=reset").await;
    assert_eq!((status, limiter.overrides().is_empty()), (StatusCode::SEE_OTHER, true));
}

#[tokio::test]
async fn the_gauge_follows_what_is_held() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let limiter = limiter();
    let mut held = Vec::new();
    for expected in 1..=5_u32 {
        let policy = if expected <= 2 { &EXPORTS } else { &ANSWERS };
        held.push(limiter.permit(policy, "alice").await.unwrap());
        limiter.record_metrics().await;
        assert_eq!(exporter.value("tollgate_in_flight", &[]), Some(expected.into()));
    }
    // Who is refused holds nothing.
    assert!(limiter.permit(&EXPORTS, "alice").await.is_err());
    for expected in (0..5_u32).rev() {
        drop(held.pop());
        limiter.record_metrics().await;
        assert_eq!(exporter.value("tollgate_in_flight", &[]), Some(expected.into()));
        assert_eq!(limiter.stats().in_flight, u64::from(expected));
    }
}
