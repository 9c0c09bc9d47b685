use axum::extract::Path;
use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = (args(id), ip))]
async fn handler(Path(id): Path<u32>) -> u32 {
    id
}

#[rate_limit(100, per = 60, key = (args(id), ip))]
async fn no_extractor(id: std::rc::Rc<u32>) -> String {
    id.to_string()
}

fn main() {}
