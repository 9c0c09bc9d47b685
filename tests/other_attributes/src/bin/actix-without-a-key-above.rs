//! actix-web `get`, key forgotten|handler|above

use actix_web::{App, get, test, web};
use tollgate::rate_limit;

#[get("/orders/{id}")]
#[rate_limit(2, per = 60)]
async fn order(id: web::Path<u32>) -> String {
    id.to_string()
}

#[actix_web::main]
async fn main() {
    test::init_service(App::new().service(order)).await;
}
