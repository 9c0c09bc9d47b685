//! The permit of a request as an argument of its handler.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

use crate::permit::Permit;

/// Puts a permit among the request's extensions to which the limits of one handler or layer add theirs,
/// and returns it. It also holds those of the layers in front.
pub(super) fn open_permit(extensions: &mut Extensions) -> Permit {
    let outer = extensions.get::<Permit>().cloned().unwrap_or_default();
    let permit = outer.scope();
    extensions.insert(permit.clone());
    permit
}

/// Extracts the permits of the handler's limits and of the layers in front of it. It is empty if none
/// of them limits the requests in flight, or if they do not count the request.
impl<S: Sync> FromRequestParts<S> for Permit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
