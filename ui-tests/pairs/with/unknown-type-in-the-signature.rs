#[allow(unused_imports)]
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn handler(Path(id): Path<u32>) -> String {
    id.to_string()
}

fn main() {}
