use tollgate::rate_limit;

async fn tenant(_: &axum::http::request::Parts) -> String {
    let tenant = std::rc::Rc::new(String::new());
    std::future::ready(()).await;
    tenant.to_string()
}

#[rate_limit(100, per = 60, key = self::tenant)]
async fn handler() {}

fn main() {}
