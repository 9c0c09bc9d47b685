#![deny(warnings, unused_qualifications)]

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tollgate::rate_limit;

#[derive(Clone)]
struct Api(u32);

#[rate_limit]
impl Api {
    pub const VERSION: u32 = 1;

    #[rate_limit(1, per = 60)]
    pub async fn show(State(Self(number)): State<Self>) -> String {
        (number + Self::VERSION).to_string()
    }

    #[rate_limit(1, per = 60)]
    async fn hide(State(api): State<Self>) -> String {
        api.plain()
    }

    fn plain(&self) -> String {
        self.0.to_string()
    }
}

fn main() {
    let _: Router<Api> = Router::new().route("/s", get(Api::show)).route("/h", get(Api::hide));
}
