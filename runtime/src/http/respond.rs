//! What the attribute asks of a handler, with errors that say so.

use axum::response::{IntoResponse, Response};

/// What an annotated handler may return: all that axum takes as a response.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an axum response",
    label = "an annotated handler returns a response",
    note = "a handler returns what implements `axum::response::IntoResponse`, for instance \
            `Json<T>`, or `Result<T, E>` where both do",
    note = "to limit a plain function, write `key = args(…)` with what it is called with, and \
            return a `Result`"
)]
pub trait IntoLimitedResponse {
    /// The response.
    fn into_limited(self) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse> IntoLimitedResponse for T {
    fn into_limited(self) -> Response {
        self.into_response()
    }
}

/// What a `refusal = …` function may return: all that axum takes as a response.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an axum response",
    label = "a function that answers refusals returns a response",
    note = "it returns what implements `axum::response::IntoResponse`, for instance \
            `(StatusCode, String)`"
)]
pub trait IntoAnswer {
    /// The response.
    fn into_answer(self) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse> IntoAnswer for T {
    fn into_answer(self) -> Response {
        self.into_response()
    }
}

/// What a user's function answers to a refusal.
pub fn answered(answer: impl IntoAnswer) -> Response {
    answer.into_answer()
}

/// Asks for `Send` where the handler's own body is to blame, not at the router far away.
pub fn require_send<F: Future + Send>(future: F) -> F {
    future
}

/// `refund_if = failure`: the response is a client's or a server's error.
#[must_use]
pub fn failure(response: &Response) -> bool {
    let status = response.status();
    status.is_client_error() || status.is_server_error()
}

/// `refund_if = success`: it is anything else.
#[must_use]
pub fn success(response: &Response) -> bool {
    !failure(response)
}
