use std::rc::Rc;

use axum::http::request::Parts;
use tollgate::{Quota, rate_limit};

async fn plan(_: &Parts) -> Option<Quota> {
    let count = Rc::new(0);
    std::future::ready(()).await;
    (*count > 0).then_some(Quota::BLOCKED)
}

#[rate_limit(100, per = 60, quota = self::plan)]
async fn list() {}

fn main() {}
