//! The rejection of a limited argument.

use axum::response::{IntoResponse, Response};

/// The response of a refused request, or of one whose argument cannot be extracted. Boxed, as it
/// is moved many times.
#[derive(Debug)]
pub struct LimitRejection(pub(super) Box<Response>);

impl LimitRejection {
    pub(super) fn new(rejection: impl IntoResponse) -> Self {
        Self(Box::new(rejection.into_response()))
    }
}

impl IntoResponse for LimitRejection {
    fn into_response(self) -> Response {
        *self.0
    }
}
