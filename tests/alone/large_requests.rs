//! 10 MiB of header, query, path and body at every door cost no more memory than is stated, and
//! no client gets an error of the server by them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use axum::routing::any;
use tollgate::{Dashboard, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer};
use tower::ServiceExt as _;

/// 10 MiB at full scale.
fn large() -> usize {
    support::scaled(1 << 20, 10 << 20) as usize
}

fn held() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// Returns the output of `ask`, the bytes that it allocates, and those that it leaves behind.
async fn costs<T>(ask: impl Future<Output = T>) -> (T, usize, usize) {
    let (before, blocks) = (held(), dhat::HeapStats::get().total_bytes);
    let output = ask.await;
    let allocated = dhat::HeapStats::get().total_bytes - blocks;
    (output, usize::try_from(allocated).unwrap(), held().saturating_sub(before))
}

#[tokio::test]
async fn texts_that_are_large_stay_in_the_bounds() {
    if support::is_left_to_a_process_of_its_own(
        module_path!(),
        "texts_that_are_large_stay_in_the_bounds",
    ) {
        return;
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    let limiter = Limiter::builder(MemoryBackend::builder().max_keys(1_000).build()).build();
    let dashboard = Dashboard::new(limiter.clone()).show_subjects(true).into_router();
    let policy = Policy::new("p", Quota::new(1, Duration::from_secs(3_600)));
    let longest = Duration::ZERO;
    // Warm: what is made once is not counted.
    for _ in 0..3 {
        let _ = limiter.check(&policy, "s").await.unwrap();
        let _ = limiter.wait(&policy, "s", 1, longest).await.unwrap();
    }
    for door in 0..6 {
        for number in 0..3 {
            let text = format!("{}{door}-{number}", "x".repeat(large()));
            let ((), allocated, left) = costs(async {
                match door {
                    0 => drop(limiter.check(&policy, &text).await.unwrap()),
                    1 => drop(limiter.check_cost(&policy, &text, 1).await.unwrap()),
                    2 => drop(limiter.check_now(&policy, &text, 1).unwrap().unwrap()),
                    3 => drop(limiter.wait(&policy, &text, 1, longest).await.unwrap()),
                    4 => drop(limiter.peek(&policy, &text, 1).await.unwrap()),
                    _ => limiter.reset(&policy, &text).await.unwrap(),
                }
            })
            .await;
            assert!(allocated < 64 << 10 && left < 16 << 10, "{door}: {allocated}, {left}");
            // Refused, so that the dashboard counts it.
            let (_, allocated, left) = costs(limiter.check_cost(&policy, &text, 2)).await;
            assert!(allocated < 64 << 10 && left < 16 << 10, "{door}: {allocated}, {left}");
        }
    }
    let request = Request::get("/").body(Body::empty()).unwrap();
    let page = support::text(dashboard.oneshot(request).await.unwrap()).await;
    assert!(page.len() < 64 << 10, "{}", page.len());

    requests_that_are_large_stay_in_the_bounds(&limiter).await;
}

/// A copy of what is decoded, or of an argument, is made while the request is there; nothing stays.
async fn requests_that_are_large_stay_in_the_bounds(limiter: &Limiter) {
    let keys = [
        Key::ip(),
        Key::header("x-api-key"),
        Key::header("authorization"),
        Key::cookie("sid"),
        Key::query("q"),
        Key::path_param("id"),
        Key::all([Key::query("q"), Key::header("x-api-key")]),
    ];
    let body = "a".repeat(large());
    let header = |value: String| HeaderValue::try_from(value).unwrap();
    for (index, key) in keys.into_iter().enumerate() {
        let policy = Policy::named(format!("large {index}"), Quota::per_minute(1));
        let layer = RateLimitLayer::new(policy).key(key);
        let routes = Router::new().route("/{id}", any(async || ())).route_layer(layer);
        let router = routes
            .layer(limiter.layer())
            .layer(MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 1))));
        for filling in ["a", "%61", "%ff", ";", "&", "=", " "] {
            let filling = filling.repeat(large() / filling.len());
            let mut request = Request::new(Body::from(body.clone()));
            // The library of URIs has a bound of its own, of 64 kB.
            let visible = filling.replace(' ', "+");
            let target = format!("/x{}?q={}", &visible[..20_000], &visible[..40_000]);
            *request.uri_mut() = Uri::try_from(target).unwrap();
            for (name, value) in [
                ("x-api-key", filling.clone()),
                ("authorization", format!("Bearer {filling}")),
                ("cookie", format!("sid={filling}")),
                ("x-forwarded-for", filling.clone()),
            ] {
                request.headers_mut().insert(HeaderName::from_static(name), header(value));
            }
            for _ in 0..2 {
                let mut copy = Request::new(Body::from(body.clone()));
                *copy.uri_mut() = request.uri().clone();
                *copy.headers_mut() = request.headers().clone();
                let before = held();
                let (response, allocated, _) = costs(router.clone().oneshot(copy)).await;
                let response = response.unwrap();
                let known =
                    [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS];
                assert!(known.contains(&response.status()), "{index}: {}", response.status());
                let bound = 4 * large();
                assert!(allocated < bound, "{index} {}: {allocated}", &filling[..3]);
                drop(response);
                let left = held().saturating_sub(before);
                assert!(left < 64 << 10, "{index} {}: {left}", &filling[..3]);
            }
        }
    }
}
