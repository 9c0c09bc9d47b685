use tollgate::rate_limit;

#[rate_limit(100, per = 60, ban(after = 0, for = "100us", grow = 0, most = "5000d"))]
async fn out_of_range() {}

#[rate_limit(100, per = 60, ban(after = 4294967296, for = -1, grow = 1.5, most = fortnight))]
async fn of_no_such_kind() {}

#[rate_limit(100, per = 60, ban(after = 5, for = "15m", most = minute))]
async fn shorter_in_the_end() {}

fn main() {}
