#[allow(unused_imports)]
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn handler(body: String) -> String {
    body.push('!');
    body
}

fn main() {}
