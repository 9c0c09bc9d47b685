#![deny(warnings, unused_qualifications)]

pub mod api {
    pub mod v1 {
        use tollgate::rate_limit;

        #[rate_limit(1, per = 60)]
        pub async fn public() {}

        #[rate_limit(1, per = 60)]
        pub(super) async fn of_api() {}

        #[rate_limit(1, per = 60)]
        pub(crate) async fn of_crate() {}

        #[rate_limit(1, per = 60)]
        pub(in crate::api) async fn of_path() {}
    }

    pub fn router() -> axum::Router {
        use axum::routing::get;
        axum::Router::new()
            .route("/a", get(v1::public))
            .route("/b", get(v1::of_api))
            .route("/c", get(v1::of_crate))
            .route("/d", get(v1::of_path))
    }
}

fn main() {
    let _ = api::router();
}
