#[allow(unused_imports)]
use tollgate::rate_limit;

async fn find() -> String {
    String::new()
}

#[rate_limit(100, per = 60)]
async fn handler() -> String {
    find()
}

fn main() {}
