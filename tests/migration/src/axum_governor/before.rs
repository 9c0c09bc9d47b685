use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use axum_governor::extractor::{KeyExtractor, KeyOutcome};
use axum_governor::{ExtractionError, GovernorConfigBuilder, GovernorLayer, Quota, nz};

#[derive(Clone, Copy, Debug)]
struct ByUser;

impl KeyExtractor for ByUser {
    type Key = String;

    fn extract(&self, parts: &Parts) -> Result<KeyOutcome<String>, ExtractionError> {
        let header = |name: &str| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
        let user = header("x-user").ok_or_else(|| ExtractionError::Other("no user".into()))?;
        let outcome = KeyOutcome::new(user);
        Ok(match header("x-plan").as_deref() {
            Some("pro") => outcome.with_quota_override(Quota::requests_per_minute(nz!(5u32))),
            _ => outcome,
        })
    }
}

async fn hello() -> &'static str {
    "Hello world"
}

pub fn app() -> Router {
    let config = GovernorConfigBuilder::default()
        .with_extractor(ByUser)
        .quota_default(Quota::requests_per_minute(nz!(2u32)))
        .finish()
        .unwrap();
    Router::new().route("/", get(hello)).layer(GovernorLayer::new(config))
}
