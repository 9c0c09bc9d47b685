// No state makes these arguments extractors, so they are reported here, not only at the router.
use axum::extract::{FromRequestParts, Path, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::{Json, Router};
use axum::routing::get;
use tollgate::rate_limit;

struct Order;
struct Signed<T>(T);

impl<T: FromRequestParts<S>, S: Send + Sync> FromRequestParts<S> for Signed<T> {
    type Rejection = T::Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, T::Rejection> {
        T::from_request_parts(parts, state).await.map(Self)
    }
}

#[rate_limit(100, per = 60)]
async fn own_type(Path(_): Path<u32>, _: Order) {}

#[rate_limit(100, per = 60)]
async fn not_last(_: Order, _: HeaderMap) {}

#[rate_limit(100, per = 60)]
async fn not_deserialized(_: State<u32>, _: Json<Order>) {}

#[rate_limit(100, per = 60)]
async fn within(_: Signed<Order>, _: (HeaderMap, Order)) {}

#[rate_limit(100, per = 60)]
async fn value(_: Vec<u8>) {}

struct Api;

#[rate_limit]
impl Api {
    #[rate_limit(100, per = 60)]
    async fn in_a_block(_: HeaderMap, _: Order) {}
}

fn main() {
    let _: Router<u32> = Router::new().route("/", get(own_type));
}
