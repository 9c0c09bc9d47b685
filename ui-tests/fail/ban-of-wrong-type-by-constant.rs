use tollgate::rate_limit;

const TEXT: &str = "5";
const WIDE: u64 = 5;

#[rate_limit(100, per = 60, ban(after = WIDE, for = TEXT))]
async fn handler() {}

fn main() {}
