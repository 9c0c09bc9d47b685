//! A store that does not answer: each limit does what its `on_error` says, and nothing is lost of the
//! permits.

use std::time::Duration;

use support::redis::{Fault, Proxy, RedisServer, eventually};
use tokio::runtime::Runtime;
use tollgate::{InFlight, Limiter, LocalTier, OnError, Policy, RedisBackend, Source};

use super::stored::permits;

fn policy(mode: OnError) -> Policy {
    held_for(Duration::from_secs(2), mode)
}

fn held_for(hold: Duration, mode: OnError) -> Policy {
    Policy::in_flight_only("outage", InFlight::new(2).hold(hold)).on_error(mode)
}

fn limiter(proxy: &Proxy) -> Limiter {
    let backend = RedisBackend::builder(&proxy.url()).deadline(Duration::from_millis(300));
    let builder = Limiter::builder(backend.build().unwrap()).local_tier(LocalTier::none());
    builder.instances(1).build()
}

#[test]
fn each_mode_does_what_it_says() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    Runtime::new().unwrap().block_on(async {
        for fault in [Fault::Refuse, Fault::Hang, Fault::DropRequest, Fault::DropReply] {
            let limiter = limiter(&proxy);
            let held = limiter.check(&policy(OnError::Closed), "s").await.unwrap();
            proxy.set(fault);
            assert!(limiter.check(&policy(OnError::Closed), "s").await.is_err(), "{fault:?}");
            let open = limiter.check(&policy(OnError::Open), "s").await.unwrap();
            assert_eq!((open.is_allowed(), open.source()), (true, Source::Open), "{fault:?}");
            // Its one instance gives both, as the permit of another mode was not recorded for it.
            let local: Vec<_> = [
                limiter.check(&policy(OnError::Local), "s").await.unwrap(),
                limiter.check(&policy(OnError::Local), "s").await.unwrap(),
                limiter.check(&policy(OnError::Local), "s").await.unwrap(),
            ]
            .into();
            let admitted: Vec<_> = local.iter().map(tollgate::Decision::is_allowed).collect();
            assert_eq!(admitted, [true, true, false], "{fault:?}");
            proxy.set(Fault::None);
            // What an answer did not tell, and what was given here, is set right.
            eventually("the server knows three", || permits(&server) == 3);
            drop((held, open, local));
            eventually("nothing is left", || permits(&server) == 0);
            limiter.close().await;
        }
    });
}

/// A caller that hangs up at any point of its call leaves nothing behind.
#[test]
fn calls_that_are_given_up_leave_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    Runtime::new().unwrap().block_on(async {
        let limiter = limiter(&proxy);
        // So long that no lease ends before somebody looks.
        let policy = held_for(Duration::from_secs(3_600), OnError::Closed);
        drop(limiter.check(&policy, "s").await.unwrap());
        for delay in [0, 1, 2, 5, 10, 20] {
            proxy.set(Fault::Delay(Duration::from_millis(10)));
            for _ in 0..5 {
                let check = limiter.check(&policy, "s");
                let _ = tokio::time::timeout(Duration::from_millis(delay), check).await;
            }
            proxy.set(Fault::None);
            assert_eq!(limiter.stats().in_flight, 0);
            eventually("nothing is left", || permits(&server) == 0);
        }
        limiter.close().await;
    });
}

/// A value that nobody can read counts as all permits, for the length of a lease.
#[test]
fn a_value_that_cannot_be_read_admits_nobody_for_a_lease() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    Runtime::new().unwrap().block_on(async {
        let limiter = limiter(&proxy);
        let policy = policy(OnError::Closed);
        let held = limiter.check(&policy, "s").await.unwrap();
        let keys: Vec<String> = server.ask("KEYS *{*");
        let [key] = &keys[..] else { panic!("{keys:?}") };
        for command in [format!("SET {key} nonsense"), format!("LPUSH {key} nonsense")] {
            let _: () = server.ask(&format!("DEL {key}"));
            let _: () = server.ask(&command);
            let refused = limiter.check(&policy, "s").await.unwrap();
            assert!(!refused.is_allowed(), "{command}");
            eventually("the lease of nobody ends", || {
                let left: i64 = server.ask(&format!("PTTL {key}"));
                left <= 2_000
            });
        }
        drop(held);
        limiter.close().await;
    });
}
