//! The rejection of a limited handler's arguments.

use axum::response::{IntoResponse, Response};

/// The response of a refused request, or of one whose arguments cannot be extracted. Boxed, as it
/// is moved many times.
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
