use axum::Router;
use axum::routing::get;
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;

async fn hello() -> &'static str {
    "Hello world"
}

pub fn app() -> Router {
    let config = GovernorConfigBuilder::default().per_second(2).burst_size(5).finish().unwrap();
    let limiter = config.limiter().clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(60));
            limiter.retain_recent();
        }
    });
    Router::new().route("/", get(hello)).layer(GovernorLayer::new(config))
}
