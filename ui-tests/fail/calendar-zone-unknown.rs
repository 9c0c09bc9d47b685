use tollgate::rate_limit;

#[rate_limit(100, per = calendar(day, "Europe/Berlim"), algorithm = fixed_window)]
async fn handler() {}

fn main() {}
