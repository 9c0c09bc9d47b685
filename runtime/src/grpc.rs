//! gRPC with [tonic](https://docs.rs/tonic): refusals of functions as the status that a layer answers
//! with.
//!
//! [The guide](crate::guide::grpc) shows limited services.

use std::sync::Arc;

use tonic::Status;

use crate::http::refuse_grpc_call;
use crate::{RateLimited, Unavailable};

/// Returns the status of a refused call: `RESOURCE_EXHAUSTED`, `PERMISSION_DENIED` if its subject is
/// blocked or banned, or `UNAVAILABLE` if the limit could not be checked. If waiting helps, its
/// details have a `google.rpc.RetryInfo`. The fields that describe the limit are metadata, by the
/// options of the limiter that was asked ([`HttpOptions`](crate::HttpOptions)).
///
/// `Status` is also `From<RateLimited>` and `From<Unavailable>`, so methods that return
/// `Result<_, Status>` can have the attribute as they are, and `?` converts the refusals of checks:
///
/// ```
/// use tollgate::rate_limit;
/// use tonic::{Request, Response, Status};
///
/// #[rate_limit(100, per = 60, key = args(request.get_ref().account))]
/// async fn export(request: Request<Export>) -> Result<Response<()>, Status> {
///     Ok(Response::new(()))
/// }
///
/// struct Export { account: String }
/// # fn main() {}
/// ```
#[must_use]
pub fn status(limited: RateLimited) -> Status {
    let mut response = limited.answered(refuse_grpc_call);
    response.headers_mut().remove(axum::http::header::CONTENT_TYPE);
    // A response by gRPC has a status, so the other one is never sent.
    let status = Status::from_header_map(response.headers());
    let mut status = status.unwrap_or_else(|| Status::resource_exhausted(limited.to_string()));
    status.set_source(Arc::new(limited));
    status
}

impl From<RateLimited> for Status {
    fn from(limited: RateLimited) -> Self {
        status(limited)
    }
}

impl From<Unavailable> for Status {
    fn from(unavailable: Unavailable) -> Self {
        status(unavailable.into())
    }
}
