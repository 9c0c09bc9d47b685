use tollgate::rate_limit;

mod web {
    pub use test as get;
}

#[rate_limit(100, per = 60)]
#[web::get]
async fn show(id: u32) -> String {
    id.to_string()
}

fn main() {}
