//! The rejection of a limited handler's arguments.

use axum::response::{IntoResponse, Response};

/// The response to a refused request, or to one whose arguments cannot be extracted. It is boxed,
/// because a response is large and this one is moved many times.
#[derive(Debug)]
pub struct LimitRejection(pub(super) Box<Response>);

impl LimitRejection {
    pub(super) fn new(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for LimitRejection {
    fn into_response(self) -> Response {
        *self.0
    }
}
