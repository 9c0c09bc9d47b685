#[allow(unused_imports)]
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn handler() -> String {
    let mut text = String::new();
    let borrowed = &text;
    text.push('a');
    borrowed.clone()
}

fn main() {}
