use tollgate::rate_limit;

fn tenant(name: &str) -> String {
    name.to_owned()
}

#[rate_limit(100, per = 60, key = self::tenant)]
async fn handler() {}

fn main() {}
