//! The user of the example `sign-in`, unlocked by the command.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use support::redis::RedisServer;
use tollgate::testing::{Client, ManualClock};
use tollgate::{Limiter, LocalTier};

use crate::command::{done, object, runtime, service};

const ALICE: [&str; 4] = ["--arg", "alice@example.com", "--ip", "192.0.2.1"];

struct Service(Client);

impl Service {
    fn new(limiter: &Limiter) -> Self {
        Self(Client::new(sign_in::app(), limiter).from([192, 0, 2, 1]))
    }

    async fn login(&self, password: &str) -> StatusCode {
        let body = format!(r#"{{"email":" Alice@example.com","password":"{password}"}}"#);
        let request = Request::post("/sign-in").header(header::CONTENT_TYPE, "application/json");
        self.0.send(request.body(Body::from(body)).unwrap()).await.status()
    }

    /// Five failures, and refusals until a ban begins.
    async fn is_banned(&self) {
        for _ in 0..5 {
            assert_eq!(self.login("wrong").await, StatusCode::UNAUTHORIZED);
        }
        for _ in 0..10 {
            assert_eq!(self.login("correct horse").await, StatusCode::TOO_MANY_REQUESTS);
        }
    }
}

#[test]
fn the_user_is_found_and_unlocked_by_name() {
    let server = RedisServer::start();
    runtime().block_on(async {
        let service = Service::new(&service(&server.url()).build());
        service.is_banned().await;

        let listed = done(&server.url(), &["keys"]).output;
        assert!(listed.contains("\nsign-in                      1  sliding_window 5/15m\n"), "{listed}");
        assert!(listed.contains("\nsign-in-address              1  sliding_window 20/15m\n"), "{listed}");
        let banned = done(&server.url(), &["keys", "--banned"]).output;
        assert_eq!(banned, "1h  sign-in  alice@example.com|192.0.2.1\n");
        let peeked = done(&server.url(), &[&["peek", "sign-in"], &ALICE[..]].concat()).output;
        assert!(
            peeked.starts_with("sign-in, subject alice@example.com|192.0.2.1, by sliding_window\n  banned for 1h\n  5/15m: 0 left, more in "),
            "{peeked}"
        );

        let said = done(&server.url(), &[&["reset", "sign-in"], &ALICE[..]].concat()).output;
        assert_eq!(said, "sign-in, subject alice@example.com|192.0.2.1: forgotten. It was banned for 1h more.\n");
        assert_eq!(service.login("correct horse").await, StatusCode::OK);
        // Nothing is left of the ban: again it takes five failures and ten refusals.
        service.is_banned().await;
        let left = object(&server.url(), &[&["peek", "sign-in"], &ALICE[..]].concat());
        assert!(left["banned_for"].as_f64().unwrap() <= 3_600.0, "{left}");

        let said = done(&server.url(), &[&["unban", "sign-in"], &ALICE[..]].concat()).output;
        assert!(said.ends_with(": no longer banned. What it used stays.\n"), "{said}");
        assert_eq!(service.login("correct horse").await, StatusCode::TOO_MANY_REQUESTS);
    });
}

/// A service that remembers the ban goes on refusing for a second, and asks again then.
#[test]
fn a_service_with_a_deny_cache_follows_within_a_second() {
    let server = RedisServer::start();
    runtime().block_on(async {
        let clock = ManualClock::new();
        let limiter = service(&server.url()).local_tier(LocalTier::default()).clock(clock.clone());
        let service = Service::new(&limiter.build());
        service.is_banned().await;
        done(&server.url(), &[&["reset", "sign-in"], &ALICE[..]].concat());
        assert_eq!(service.login("correct horse").await, StatusCode::TOO_MANY_REQUESTS);
        clock.advance(Duration::from_secs(1));
        assert_eq!(service.login("correct horse").await, StatusCode::OK);
    });
}
