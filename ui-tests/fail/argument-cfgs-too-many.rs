use axum::http::HeaderMap;
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn handler(
    #[cfg(unix)] _: HeaderMap,
    #[cfg(windows)] _: HeaderMap,
    #[cfg(debug_assertions)] _: HeaderMap,
    #[cfg(not(unix))] _: HeaderMap,
    #[cfg(not(windows))] _: HeaderMap,
) {
}

fn main() {}
