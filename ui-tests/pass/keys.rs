#![deny(warnings, unused_qualifications)]
#![allow(clippy::extra_unused_type_parameters, reason = "a generic key function may be written so")]

use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use tollgate::{KeyExtractor, Subject, rate_limit};

#[derive(Clone)]
struct Id<T>(T);

impl<T: std::fmt::Display> std::fmt::Display for Id<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

mod keys {
    pub fn text(parts: &axum::http::request::Parts) -> String {
        parts.uri.path().to_owned()
    }
}

/// Arguments and the request; the first argument may be the body, and the last.
#[rate_limit(10, per = minute, key = (args(login.len()), ip))]
#[rate_limit(100, per = minute, key = (header("x-key"), args(), keys::text, self::later), on_missing_key = shared)]
async fn login(mut login: String) -> Result<(), tollgate::RateLimited> {
    login.push('x');
    Ok(())
}

/// Limits before the extraction and after it, on a handler that says nothing of limits.
#[rate_limit(10, per = minute)]
#[rate_limit(10, per = minute, key = args(login))]
#[rate_limit(10, per = minute, key = (args(login.trim()), ip))]
async fn log_in(login: String) -> impl axum::response::IntoResponse {
    login
}

#[rate_limit(10, per = minute, exempt = net("10.0.0.0/8", "fd00::/8", "192.0.2.7"))]
async fn outside(client: tollgate::ClientAddr, other: Option<tollgate::ClientAddr>) -> String {
    format!("{client} {other:?}")
}

fn number(_: &Parts) -> u64 {
    1
}

fn same<T: Clone>(_: &Parts) -> Option<Subject> {
    None
}

fn borrowed(parts: &Parts) -> Option<&str> {
    parts.headers.get("host")?.to_str().ok()
}

async fn later(parts: &Parts) -> Option<&str> {
    std::future::ready(()).await;
    borrowed(parts)
}

fn boxed(parts: &Parts) -> std::pin::Pin<Box<dyn Future<Output = String> + Send + '_>> {
    Box::pin(async { later(parts).await.unwrap_or("nobody").to_owned() })
}

const ANYBODY: fn(&Parts) -> u8 = |_| 1;

struct Tenant(&'static str);

impl KeyExtractor for Tenant {
    async fn subject(&self, parts: &Parts) -> Option<Subject> {
        tollgate::IntoSubject::into_subject(later(parts).await?.strip_suffix(self.0)?)
    }
}

const TENANT: Tenant = Tenant("a.example");
static SECOND: Tenant = Tenant("b.example");

#[rate_limit(1, per = 60, key = ip)]
async fn a() {}
#[rate_limit(1, per = 60, key = global)]
async fn b() {}
#[rate_limit(1, per = 60, key = header("X-Api-Key"))]
async fn c() {}
#[rate_limit(1, per = 60, key = cookie("sid"))]
async fn d() {}
#[rate_limit(1, per = 60, key = path_param("id"))]
async fn e() {}
#[rate_limit(1, per = 60, key = query("q"))]
async fn f() {}
#[rate_limit(1, per = 60, key = extension(Id<u32>))]
async fn g() {}
#[rate_limit(1, per = 60, key = keys::text)]
async fn h() {}
#[rate_limit(1, per = 60, key = (self::number, self::same::<u8>, ip))]
async fn i() {}
#[rate_limit(1, per = 60, key = (self::borrowed, self::later, self::boxed, self::ANYBODY))]
async fn j() {}
#[rate_limit(1, per = 60, key = self::TENANT)]
async fn k() {}
#[rate_limit(1, per = 60, key = (self::SECOND, self::later))]
async fn l() {}

fn main() {
    let _: Router = Router::new()
        .route("/a", get(a))
        .route("/b", get(b))
        .route("/c", get(c))
        .route("/d", get(d))
        .route("/e/{id}", get(e))
        .route("/f", get(f))
        .route("/g", get(g))
        .route("/h", get(h))
        .route("/i", get(i))
        .route("/j", get(j))
        .route("/k", get(k))
        .route("/l", get(l))
        .route("/outside", get(outside))
        .route("/log-in", axum::routing::post(log_in))
        .route("/login", axum::routing::post(login));
}
