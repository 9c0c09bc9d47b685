#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler() -> String {
    let map = HashMap::<u32, u32>::new();
    map.len().to_string()
}

fn main() {}
