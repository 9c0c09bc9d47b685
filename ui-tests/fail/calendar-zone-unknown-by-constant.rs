use tollgate::rate_limit;

const ZONE: &str = "Atlantis";

#[rate_limit(100, per = calendar(day, ZONE), algorithm = fixed_window)]
async fn handler() {}

fn main() {}
