use tollgate::{Usage, rate_limit};

#[rate_limit(100, per = 60)]
#[rate_limit(1_000, per = 60, key = global)]
async fn handler((tokens, ()): (Usage, ())) {
    tokens.add(1);
}

#[rate_limit(100, per = 60, key = (args(text), ip))]
#[rate_limit(1_000, per = 60, cost = args(text.len()))]
async fn late(usage: Usage, text: String) {
    usage.add(text.len() as u32);
}

fn main() {}
