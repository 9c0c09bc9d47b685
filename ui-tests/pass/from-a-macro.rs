#![deny(warnings, unused_qualifications)]

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

macro_rules! parts {
    (
        #[$meta:meta]
        $vis:vis $name:ident($pattern:pat => $ty:ty) -> $output:ty, $per:expr, $key:path, $body:block
    ) => {
        #[tollgate::rate_limit(10, per = $per, key = $key)]
        #[$meta]
        $vis async fn $name($pattern: $ty) -> $output $body
    };
}

fn tenant(_: &axum::http::request::Parts) -> &'static str {
    "tenant"
}

parts! {
    #[tollgate::rate_limit(20, per = day, key = global)]
    pub(crate) parts(Path(value) => Path<u32>) -> String, "1m", self::tenant, {
        value.to_string()
    }
}

macro_rules! functions {
    ($($name:ident($argument:ident: $ty:ty) $body:block)*) => {$(
        #[tollgate::rate_limit(10, per = second, key = args($argument))]
        fn $name($argument: $ty) -> Result<usize, tollgate::RateLimited> $body
    )*};
}

functions! {
    length(text: &str) { Ok(text.len()) }
    number(value: usize) { Ok(value) }
}

macro_rules! item {
    ($item:item) => {
        #[tollgate::rate_limit(10, per = second)]
        $item
    };
}

item! { async fn whole() -> &'static str { "whole" } }

macro_rules! block {
    ($ty:ty { $($member:item)* }) => {
        #[tollgate::rate_limit]
        impl $ty {
            $($member)*
        }
    };
}

struct Api;

block! {
    Api {
        const LIMIT: u32 = 5;

        #[tollgate::rate_limit(10, per = second)]
        async fn limited() -> String { Self::LIMIT.to_string() }

        fn unlimited() -> u32 { Self::LIMIT }
    }
}

handlers! {
    digits: 1 + 2, 60, "x-a" => u32;
    text: 5, "1m", "x-b" => String;
}

fn main() {
    let _: Router = Router::new()
        .route("/n/{v}", get(digits))
        .route("/t/{v}", get(text))
        .route("/p/{v}", get(parts))
        .route("/w", get(whole))
        .route("/a", get(Api::limited));
    let _ = (length("text"), number(Api::unlimited() as usize));
}
