#![deny(warnings, unused_qualifications)]

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tollgate::rate_limit;

const SECONDS: u32 = 60;
const LONG: u64 = 3_600;
const ZONE: &str = "Asia/Kathmandu";
const SHORT: Duration = Duration::from_millis(250);

#[rate_limit(1, per = 60)]
async fn a() {}
#[rate_limit(1, per = "1h30m")]
async fn b() {}
#[rate_limit(1, per = day)]
async fn c() {}
#[rate_limit(1, per = SECONDS)]
async fn d() {}
#[rate_limit(1, per = self::LONG * 2)]
async fn e() {}
#[rate_limit(1, per = SHORT)]
async fn f() {}
#[rate_limit(1, per = Duration::from_secs(5))]
async fn g() {}
#[rate_limit(1, per = (2 + 3) * 60)]
async fn h() {}
#[rate_limit(1, per = calendar(month), algorithm = fixed_window)]
async fn i() {}
#[rate_limit(self::LONG as u32, per = calendar(day, "Europe/Berlin"), algorithm = fixed_window)]
#[rate_limit(1, per = calendar(week, ZONE,))]
async fn j() {}

fn main() {
    let _: Router = Router::new()
        .route("/a", get(a))
        .route("/b", get(b))
        .route("/c", get(c))
        .route("/d", get(d))
        .route("/e", get(e))
        .route("/f", get(f))
        .route("/g", get(g))
        .route("/h", get(h))
        .route("/i", get(i))
        .route("/j", get(j));
}
