#![deny(warnings)]

use axum::Router;
use axum::extract::Path;
use axum::routing::get;

macro_rules! handlers {
    ($($name:ident: $limit:expr, $period:literal, $key:literal => $ty:ty;)*) => {$(
        #[tollgate::rate_limit($limit, per = $period, key = header($key), crate = $crate::reexport)]
        async fn $name(Path(value): Path<$ty>) -> String {
            value.to_string()
        }
    )*};
}

use ::tollgate as reexport;

handlers! {
    number: 1 + 2, 60, "x-a" => u32;
    text: 5, "1m", "x-b" => String;
}

fn main() {
    let _: Router = Router::new().route("/n/{v}", get(number)).route("/t/{v}", get(text));
}
