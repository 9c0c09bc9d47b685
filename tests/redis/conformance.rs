//! Redis passes the suite that other stores are to pass.

use tollgate::testing::{ManualClock, assert_conforms};
use tollgate::{Algorithm, RedisBackend};

use crate::timed::{PATIENCE, runtime};
use support::redis::RedisServer;

#[test]
fn passes_the_suite_for_stores() {
    let (server, clock) = (RedisServer::start(), ManualClock::new());
    let backend = RedisBackend::builder(&server.url()).virtual_time(clock.clone());
    let backend = backend.deadline(PATIENCE).build().unwrap();
    runtime().block_on(assert_conforms(backend, &clock, Algorithm::ALL));
}
