//! Subjects by name on Redis.

use proptest::test_runner::{Config, TestRunner};
use support::redis::RedisServer;
use support::scaled;
use tollgate::{Limiter, RedisBackend};

use crate::by_name_cases::{cases, kind_count};
use crate::timed::PATIENCE;

#[test]
fn it_is_what_requests_are_counted_by() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kind in 0..kind_count() {
        let config = Config { cases: scaled(8, 200), ..Config::default() };
        let tested = TestRunner::new(config).run(&cases(kind), |case| {
            let backend = || RedisBackend::builder(&server.url()).build().unwrap();
            let builder = || Limiter::builder(backend()).deadline(PATIENCE);
            runtime.block_on(async {
                case.is_named(builder()).await;
                case.is_overridden(builder()).await;
            });
            Ok(())
        });
        tested.unwrap();
    }
}
