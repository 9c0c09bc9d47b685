//! The example of a sign-in, behind a trusted proxy: failures count by account and address, a ban
//! grows, a success forgives, and support unlocks by name.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use support::redis::RedisServer;
use support::{header, post};
use tollgate::testing::{Client, ManualClock};
use tollgate::{HttpOptions, Limiter, MemoryBackend, RedisBackend};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: u64 = 3_600;
const PROXY: [u8; 4] = [10, 0, 0, 1];
const HOME: &str = "2001:db8:1:2:3::4";
const OFFICE: &str = "192.0.2.7";
const ALICE: &str = "alice@a.example";

struct Service(Client);

impl Service {
    fn new(limiter: &Limiter) -> Self {
        Self(Client::new(sign_in::app(), limiter).from(PROXY))
    }

    fn in_memory() -> (Self, ManualClock) {
        let clock = ManualClock::new();
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        (Self::new(&Limiter::builder(backend).http(options()).build()), clock)
    }

    async fn login(&self, from: &str, email: &str, password: &str) -> Response<Body> {
        let body = format!(r#"{{"email":"{email}","password":"{password}"}}"#);
        let mut request = post("/sign-in", "application/json", body);
        request.headers_mut().insert("x-forwarded-for", from.parse().unwrap());
        self.0.send(request).await
    }

    async fn fails(&self, from: &str, email: &str) {
        let response = self.login(from, email, "wrong").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{from} {email}");
    }

    async fn succeeds(&self, from: &str, email: &str) {
        let response = self.login(from, email, "correct horse").await;
        assert_eq!(response.status(), StatusCode::OK, "{from} {email}");
    }

    /// Returns the seconds to wait.
    async fn is_refused(&self, from: &str, email: &str) -> u64 {
        let response = self.login(from, email, "correct horse").await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{from} {email}");
        header(&response, "retry-after").unwrap().parse().unwrap()
    }

    async fn unlock(&self, from: &str, email: &str) {
        let body = format!(r#"{{"email":"{email}","address":"{from}"}}"#);
        let response = self.0.send(post("/unlock", "application/json", body)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
}

fn options() -> HttpOptions {
    HttpOptions::new().trusted_proxies(["10.0.0.0/8"]).unwrap()
}

/// Uses up the failures, and is refused until a ban begins. Returns its length in seconds.
async fn is_banned(service: &Service, from: &str) -> u64 {
    for _ in 0..5 {
        service.fails(from, ALICE).await;
    }
    for _ in 0..9 {
        assert!(service.is_refused(from, ALICE).await <= 900);
    }
    service.is_refused(from, ALICE).await
}

#[tokio::test]
async fn failures_are_refused_and_banned_for_longer_each_time() {
    let (service, clock) = Service::in_memory();
    assert_eq!(is_banned(&service, HOME).await, HOUR);
    // Neither time nor patience within the ban changes anything.
    clock.advance(30 * MINUTE);
    assert_eq!(service.is_refused(HOME, ALICE).await, HOUR / 2);
    // The account is free elsewhere, and others are free here.
    service.succeeds(OFFICE, ALICE).await;
    service.succeeds(HOME, "bob@a.example").await;
    clock.advance(30 * MINUTE);
    // The second ban is twice as long.
    assert_eq!(is_banned(&service, HOME).await, 2 * HOUR);
    clock.advance(120 * MINUTE);
    service.succeeds(HOME, ALICE).await;
    // The success has forgiven the bans before.
    assert_eq!(is_banned(&service, HOME).await, HOUR);
}

#[tokio::test]
async fn support_unlocks_by_name() {
    let (service, _clock) = Service::in_memory();
    is_banned(&service, HOME).await;
    // However the account is written, and from whichever address of the household.
    service.unlock("2001:db8:1:2:ffff::1", " Alice@A.example").await;
    service.succeeds(HOME, ALICE).await;
}

#[tokio::test]
async fn successes_are_not_counted() {
    let (service, _clock) = Service::in_memory();
    for _ in 0..4 {
        service.fails(HOME, ALICE).await;
    }
    for _ in 0..50 {
        service.succeeds(HOME, ALICE).await;
    }
    service.fails(HOME, ALICE).await;
    service.is_refused(HOME, ALICE).await;
}

#[tokio::test]
async fn one_address_cannot_try_many_accounts() {
    let (service, _clock) = Service::in_memory();
    for account in 0..20 {
        service.fails(HOME, &format!("{account}@a.example")).await;
    }
    assert_eq!(service.is_refused(HOME, "20@a.example").await, 900);
    service.succeeds(OFFICE, "20@a.example").await;
    // A body that is none costs the address nothing but an attempt.
    let broken = post("/sign-in", "application/json", "{");
    assert!(service.0.send(broken).await.status().is_client_error());
}

#[tokio::test]
async fn on_redis_it_is_the_same() {
    let server = RedisServer::start();
    let backend = RedisBackend::from_url(&server.url()).await.unwrap();
    let service = Service::new(&Limiter::builder(backend).http(options()).build());
    let length = is_banned(&service, HOME).await;
    assert!((HOUR - 60..=HOUR).contains(&length), "{length}");
    service.succeeds(OFFICE, ALICE).await;
    service.unlock(HOME, ALICE).await;
    service.succeeds(HOME, ALICE).await;
}
