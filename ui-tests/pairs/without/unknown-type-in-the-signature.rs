#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler(Path(id): Path<u32>) -> String {
    id.to_string()
}

fn main() {}
