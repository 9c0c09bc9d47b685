#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler() -> String {
    7_u32.shout()
}

fn main() {}
