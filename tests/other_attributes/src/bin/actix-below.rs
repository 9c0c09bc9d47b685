//! actix-web `get`, error of actix by `refusal`|function|below

use actix_web::http::StatusCode;
use actix_web::{App, get, test, web};
use other_attributes::{nothing, run};
use tollgate::{RateLimited, rate_limit};

fn refused(limited: RateLimited) -> actix_web::Error {
    actix_web::error::ErrorTooManyRequests(limited.to_string())
}

#[rate_limit(2, per = 60, key = args(), refusal = self::refused)]
#[get("/orders/{id}")]
async fn order(id: web::Path<u32>) -> Result<String, actix_web::Error> {
    Ok(id.to_string())
}

#[actix_web::main]
async fn main() {
    let app = test::init_service(App::new().service(order)).await;
    run(
        async |id| {
            let request = test::TestRequest::get().uri(&format!("/orders/{id}")).to_request();
            match test::call_service(&app, request).await.status() {
                StatusCode::OK => true,
                StatusCode::TOO_MANY_REQUESTS => false,
                status => panic!("{status}"),
            }
        },
        nothing,
    )
    .await;
}
