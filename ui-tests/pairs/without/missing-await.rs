#[allow(unused_imports)]
use tollgate::rate_limit;

async fn find() -> String {
    String::new()
}

// Without the attribute.
async fn handler() -> String {
    find()
}

fn main() {}
