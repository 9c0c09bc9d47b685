//! Handlers whose periods begin when the calendar says: what clients are told. These limits are in a
//! program of their own, because one with them does not start on a store that knows no calendars.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use axum::Router;
use axum::routing::get;
use support::almanac::Almanac;
use support::{header, limiter, local, send, text};
use tollgate::{Calendar, rate_limit};

/// At noon in UTC on a Sunday in March on which the clocks of Berlin were set forward.
const NOON: u64 = 1_743_336_000_000_000;

#[rate_limit(2, per = calendar(day, "Europe/Berlin"), algorithm = fixed_window, key = global)]
async fn daily() {}

#[rate_limit(3, per = calendar(month), algorithm = fixed_window, key = global)]
#[rate_limit(2, per = calendar(day, "Europe/Berlin"), key = global)]
#[rate_limit(9, per = hour, key = global)]
async fn stacked() {}

fn seconds(unit: Calendar, zone: &'static str) -> u64 {
    (Almanac { unit, zone }.window(NOON).1 - NOON).div_ceil(1_000_000)
}

#[tokio::test]
async fn windows_have_no_length_and_waits_are_to_their_end() {
    let (limiter, clock) = limiter();
    clock.set_micros(NOON);
    let router = Router::new().route("/daily", get(daily)).route("/stacked", get(stacked));
    let router = local(router, &limiter);
    let ask = |path| send(&router, support::get(path));
    // Midnight in Berlin is at 22 o'clock in UTC from this day on.
    assert_eq!(seconds(Calendar::Day, "Europe/Berlin"), 10 * 3_600);
    let first = ask("/daily").await;
    assert_eq!(header(&first, "ratelimit-policy"), Some("\"daily\";q=2"));
    assert_eq!(header(&first, "ratelimit"), Some("\"daily\";r=1;t=36000"));
    ask("/daily").await;
    let refused = ask("/daily").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after"), Some("36000"));
    let body = text(refused).await;
    assert!(body.contains("2 per day in Europe/Berlin"), "{body}");
    clock.advance(std::time::Duration::from_secs(36_000));
    assert_eq!(ask("/daily").await.status(), 200);
}

#[tokio::test]
async fn several_are_told_apart_by_their_names() {
    let (limiter, clock) = limiter();
    clock.set_micros(NOON);
    let router = local(Router::new().route("/stacked", get(stacked)), &limiter);
    let response = send(&router, support::get("/stacked")).await;
    assert_eq!(
        header(&response, "ratelimit-policy"),
        Some(
            "\"stacked-month\";q=3, \"stacked-day-Europe/Berlin\";q=2, \"stacked-3600s\";q=9;w=3600"
        )
    );
    send(&router, support::get("/stacked")).await;
    let refused = send(&router, support::get("/stacked")).await;
    let wait = seconds(Calendar::Day, "Europe/Berlin").to_string();
    assert_eq!(header(&refused, "retry-after"), Some(&*wait));
}
