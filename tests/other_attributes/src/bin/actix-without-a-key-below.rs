//! actix-web `get`, key forgotten|handler|below

use actix_web::{App, get, test, web};
use tollgate::rate_limit;

#[rate_limit(2, per = 60)]
#[get("/orders/{id}")]
async fn order(id: web::Path<u32>) -> String {
    id.to_string()
}

#[actix_web::main]
async fn main() {
    test::init_service(App::new().service(order)).await;
}
