//! A limit is changed while it is in use.

use tollgate::testing::ManualClock;
use tollgate::{Limiter, RedisBackend};

use support::counts_kept::{counts_are_kept, policies};
use support::redis::RedisServer;

#[tokio::test]
async fn counts_are_kept_on_redis() {
    let server = RedisServer::start();
    for policy in policies() {
        let backend = RedisBackend::builder(&server.url()).virtual_time(ManualClock::new());
        let limiter = Limiter::builder(backend.build().unwrap()).declare(policy.clone()).build();
        counts_are_kept(&limiter, &policy).await;
    }
}
