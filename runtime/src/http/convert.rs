//! Conversions that generated code calls, with compile errors written for the user of the
//! attribute.

use axum::response::{IntoResponse, Response};

/// The result of an annotated handler: any type that implements axum's `IntoResponse`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an axum response",
    label = "an annotated handler returns a response",
    note = "a handler returns what implements `axum::response::IntoResponse`, for instance \
            `Json<T>`, or `Result<T, E>` where both do",
    note = "to limit a plain function, write `key = args(…)` with what it is called with, and \
            return a `Result`"
)]
pub trait IntoLimitedResponse {
    /// Converts the result into a response.
    fn into_limited(self) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse> IntoLimitedResponse for T {
    fn into_limited(self) -> Response {
        self.into_response()
    }
}

/// The result of a `refusal = …` function: any type that implements axum's `IntoResponse`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an axum response",
    label = "a function that answers refusals returns a response",
    note = "it returns what implements `axum::response::IntoResponse`, for instance \
            `(StatusCode, String)`"
)]
pub trait IntoAnswer {
    /// Converts the result into a response.
    fn into_answer(self) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse> IntoAnswer for T {
    fn into_answer(self) -> Response {
        self.into_response()
    }
}

/// Converts the result of a `refusal = …` function into a response.
pub fn answered(answer: impl IntoAnswer) -> Response {
    answer.into_answer()
}

/// Returns the future of a handler's body unchanged, and requires that it is `Send`. So the compile
/// error points at the body and not at the router.
pub fn require_send<F: Future + Send>(future: F) -> F {
    future
}
