#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler() -> String {
    let mut text = String::new();
    let borrowed = &text;
    text.push('a');
    borrowed.clone()
}

fn main() {}
