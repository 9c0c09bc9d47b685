use tollgate::rate_limit;

struct Api;

#[rate_limit]
impl Api {
    #[rate_limit(0, per = 60)]
    async fn list() {}

    #[rate_limit(100, pre = 60)]
    async fn show() {}
}

fn main() {
    // Both are still there: the compiler says nothing about these.
    drop(Api::list());
    drop(Api::show());
}
