use tollgate::{Usage as Tokens, rate_limit};

#[rate_limit(100, per = 60, refund_if = failure)]
async fn handler(tokens: Tokens) {
    tokens.add(1);
}

#[rate_limit(100, per = 60, key = (args(text), ip), refund_if = failure)]
async fn late(tokens: Tokens, text: String) {
    tokens.add(text.len() as u32);
}

fn main() {}
