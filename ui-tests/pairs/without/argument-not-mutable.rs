#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler(body: String) -> String {
    body.push('!');
    body
}

fn main() {}
