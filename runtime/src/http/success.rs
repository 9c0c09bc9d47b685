//! The success of a request, by its response.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use crate::response::{GRPC_STATUS, is_grpc};

/// The success of a request. A response of gRPC is HTTP 200 also if the request has failed: its
/// status is among the header fields, or else in the trailers behind the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Success {
    /// The request has succeeded.
    Yes,
    /// The request has failed.
    No,
    /// The trailers say it.
    InTrailers,
}

impl Success {
    /// Returns what the head of a response says.
    pub(super) fn of_head(response: &Response) -> Self {
        let (status, headers) = (response.status(), response.headers());
        if status.is_client_error() || status.is_server_error() {
            return Self::No;
        }
        let content_type = headers.get(CONTENT_TYPE);
        if !content_type.is_some_and(|value| is_grpc(value.as_bytes())) {
            return Self::Yes;
        }
        Self::by_status(headers).unwrap_or(Self::InTrailers)
    }

    /// Returns what the gRPC status says that is among these fields; `None` if there is none.
    pub(super) fn by_status(fields: &HeaderMap<HeaderValue>) -> Option<Self> {
        let status = fields.get(GRPC_STATUS)?;
        Some(if status == "0" { Self::Yes } else { Self::No })
    }
}
