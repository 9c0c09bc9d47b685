use tollgate::rate_limit;

fn failed(status: axum::http::StatusCode) -> bool {
    status.is_server_error()
}

#[rate_limit(100, per = 60, refund_if = self::failed)]
async fn handler() {}

fn main() {}
