//! The status of a refused gRPC request.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::grpc_details::retry_details;
use super::grpc_request::{GRPC_CONTENT_TYPE, grpc_content_type};
use super::refusal::{Reason, Refusal};
use super::seconds::{told_seconds, told_wait};
use super::text::Text;
use crate::{Decision, Outcome};

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The characters that a message must not contain as they are.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

const INVALID_ARGUMENT: u8 = 3;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;

/// The status of a refused gRPC request, the default answer to it. [`Refusal::grpc_status`] returns
/// it, and it can be changed before it is sent.
///
/// As a response it is HTTP 200 with the status among its header fields and no body
/// (Trailers-Only). If waiting helps, the details have a `google.rpc.RetryInfo`. A layer that the
/// response passes may raise its delay, and the time that the message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is a response: return it"]
pub struct GrpcStatus {
    content_type: HeaderValue,
    code: u8,
    message: String,
    /// `true` if the message ends with the time to retry.
    tells_wait: bool,
    /// The time until the same request succeeds; `None` if waiting does not help.
    wait: Option<Duration>,
}

impl GrpcStatus {
    /// Sets the number of the status code.
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Sets the message, for people.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self.tells_wait = false;
        self
    }

    /// Changes the time until the same request succeeds, after the response has passed another limit;
    /// [`Duration::MAX`] if no wait helps. Fields that a function of the user has changed stay as they
    /// are.
    pub(super) fn raise(self, wait: Duration, response: &mut Response) {
        let wait = Some(wait).filter(|wait| *wait != Duration::MAX);
        let raised = Self { wait, ..self.clone() };
        let fields = self.fields().into_iter().zip(raised.fields());
        let headers = response.headers_mut();
        for ((name, before), (_, after)) in fields {
            if headers.get(&name) == before.as_ref() {
                set(headers, name, after);
            }
        }
        response.extensions_mut().insert(raised);
    }

    /// Returns the header fields of the status.
    fn fields(&self) -> [(HeaderName, Option<HeaderValue>); 3] {
        let message = match self.wait {
            Some(wait) if self.tells_wait => {
                format!("{}; retry in {}s.", self.message, told_seconds(wait))
            }
            None if self.tells_wait => format!("{}.", self.message),
            _ => self.message.clone(),
        };
        let encoded = utf8_percent_encode(&message, ENCODED).to_string();
        let details = self.wait.map(|wait| retry_details(self.code, &message, told_wait(wait)));
        // Both texts contain only what a header may contain.
        let value = |text| HeaderValue::try_from(text).ok();
        [
            (GRPC_STATUS, Some(u16::from(self.code).into())),
            (GRPC_MESSAGE, value(encoded)),
            (GRPC_DETAILS, details.and_then(value)),
        ]
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

impl IntoResponse for GrpcStatus {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
        for (name, value) in self.fields() {
            set(response.headers_mut(), name, value);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl Refusal<'_> {
    /// Returns the gRPC status of this refusal if the request is one of gRPC or gRPC-Web, and `None`
    /// for any other. It is the response, unless a function of the user replaces it.
    ///
    /// ```
    /// use axum::response::{IntoResponse, Response};
    /// use tollgate::http::Refusal;
    ///
    /// fn slow_down(refusal: &Refusal<'_>) -> Response {
    ///     match refusal.grpc_status() {
    ///         Some(status) => status.message("Slow down, please.").into_response(),
    ///         None => refusal.problem().detail("Slow down, please.").into_response(),
    ///     }
    /// }
    /// ```
    pub fn grpc_status(&self) -> Option<GrpcStatus> {
        let content_type = match self.request() {
            Some(parts) => grpc_content_type(parts)?.clone(),
            None if self.is_grpc_call => GRPC_CONTENT_TYPE,
            None => return None,
        };
        let mut message = Text::new();
        self.push_reason(&mut message);
        Some(GrpcStatus {
            content_type,
            code: self.grpc_code(),
            message: message.to_text(),
            tells_wait: true,
            wait: self.retry_after(),
        })
    }

    /// Returns the number of the status code that belongs to the reason. Most follow from the status
    /// code of HTTP. A client that is banned is shut out like one that is blocked.
    fn grpc_code(&self) -> u8 {
        let outcome = self.decision().map(Decision::outcome);
        match (self.reason, self.status()) {
            (Reason::QuotaExceeded(_), _) if matches!(outcome, Some(Outcome::Banned { .. })) => {
                PERMISSION_DENIED
            }
            (_, StatusCode::BAD_REQUEST) => INVALID_ARGUMENT,
            (_, StatusCode::FORBIDDEN) => PERMISSION_DENIED,
            (_, StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE) => {
                RESOURCE_EXHAUSTED
            }
            (_, StatusCode::SERVICE_UNAVAILABLE) => UNAVAILABLE,
            _ => INTERNAL,
        }
    }
}
