use tollgate::rate_limit;

#[rate_limit(0, per = "1 minute", algorithm = gcr, key = "ip", skip_on_eror)]
async fn handler(name: &str) {
    let _ = name;
}

fn main() {}
