//! Responses of limits in OpenAPI documents, with [utoipa](https://docs.rs/utoipa).
//!
//! Each type stands for the responses that a limit gives by itself, with their header fields and
//! their problem details. Name one behind the other responses of a path:
//!
//! ```
//! use tollgate::{openapi, rate_limit};
//!
//! #[utoipa::path(
//!     get,
//!     path = "/orders",
//!     responses((status = 200, description = "The orders.", body = String), openapi::LimitResponses)
//! )]
//! #[rate_limit(100, per = 60, key = header("x-api-key"))]
//! async fn list_orders() -> &'static str {
//!     "…"
//! }
//! # fn main() {}
//! ```
//!
//! [`LimitResponses`] stands for all of them, the others for one each. [The guide](crate::guide::openapi)
//! says which limits give which, and how to describe refusals of your own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, Header, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::http::Problem;
use crate::response::problem_type::{BLANK, BLOCKED, QUOTA_EXCEEDED, REDUCED_CAPACITY};
use crate::response::seconds::LONGEST_WAIT;

/// The response to a request for one reason.
struct DocumentedResponse {
    status: StatusCode,
    reason: &'static str,
    problem: &'static str,
    /// The header fields, each of which the response may lack if the limit has nothing to say in it.
    fields: &'static [Field],
}

#[derive(Clone, Copy)]
enum Field {
    Policy,
    State,
    RetryAfter,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Policy => "RateLimit-Policy",
            Self::State => "RateLimit",
            Self::RetryAfter => "Retry-After",
        }
    }

    fn header(self) -> Header {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let (schema, description) = match self {
            Self::Policy => (
                text().examples([r#""orders";q=100;w=60"#]),
                "The limits: the units of each, and its window in seconds.",
            ),
            Self::State => (
                text().examples([r#""orders";r=0;t=12"#]),
                "The units that remain of each limit, and in how many seconds there are more.",
            ),
            Self::RetryAfter => (
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .minimum(Some(1))
                    .maximum(Some(LONGEST_WAIT as usize)),
                "The seconds after which the same request succeeds.",
            ),
        };
        HeaderBuilder::new().schema(Some(schema.build())).description(Some(description)).build()
    }
}

impl DocumentedResponse {
    fn response(&self) -> Response {
        let status = self.status.as_u16();
        let of_type =
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some([self.problem]));
        let of_status = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status]));
        let body = problem(of_type, of_status);
        let content = ContentBuilder::new().schema(Some(RefOr::T(body))).build();
        let response = ResponseBuilder::new()
            .description(self.reason)
            .content("application/problem+json", content);
        let with = |response: ResponseBuilder, field: &Field| {
            response.header(field.name(), field.header())
        };
        self.fields.iter().fold(response, with).build()
    }
}

/// Returns the schema of problem details whose members `type` and `status` have these schemas.
fn problem(of_type: ObjectBuilder, of_status: ObjectBuilder) -> Schema {
    let text =
        |description| ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    let uri = SchemaFormat::Custom("uri-reference".to_owned());
    let names = ArrayBuilder::new()
        .items(ObjectBuilder::new().schema_type(Type::String))
        .description(Some("The names of the limits that refused."));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Problem details (RFC 9457)."))
        .property(
            "type",
            of_type.format(Some(uri.clone())).description(Some("The kind of problem.")),
        )
        .required("type")
        .property("title", text("The kind of problem, for people."))
        .required("title")
        .property("status", of_status.description(Some("The status code.")))
        .required("status")
        .property("detail", text("This occurrence, for people."))
        .required("detail")
        .property("instance", text("The identifier of this occurrence.").format(Some(uri)))
        .property("violated-policies", names)
        .into()
}

/// Describes problem details of any kind.
impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let status = ObjectBuilder::new().schema_type(Type::Integer);
        let status = status.minimum(Some(100)).maximum(Some(599));
        RefOr::T(problem(ObjectBuilder::new().schema_type(Type::String), status))
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Problem")
    }
}

type ResponseMap = BTreeMap<String, RefOr<Response>>;

/// All responses of limits.
#[derive(Clone, Copy, Debug)]
pub struct LimitResponses;

/// 400: the request lacks the key of its limit.
#[derive(Clone, Copy, Debug)]
pub struct BadRequest;

/// 403: the client is blocked.
#[derive(Clone, Copy, Debug)]
pub struct Forbidden;

/// 413: the request costs more than its limit can ever admit.
#[derive(Clone, Copy, Debug)]
pub struct ContentTooLarge;

/// 429: the limit is reached, or the client is banned for now.
#[derive(Clone, Copy, Debug)]
pub struct TooManyRequests;

/// 503: the limit cannot be checked.
#[derive(Clone, Copy, Debug)]
pub struct ServiceUnavailable;

const BAD_REQUEST: DocumentedResponse = DocumentedResponse {
    status: StatusCode::BAD_REQUEST,
    reason: "The request lacks what its limit counts by.",
    problem: BLANK,
    fields: &[Field::Policy],
};

const FORBIDDEN: DocumentedResponse = DocumentedResponse {
    status: StatusCode::FORBIDDEN,
    reason: "The client is blocked.",
    problem: BLOCKED,
    fields: &[Field::Policy],
};

const CONTENT_TOO_LARGE: DocumentedResponse = DocumentedResponse {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    reason: "The request alone is more than its limit allows.",
    problem: QUOTA_EXCEEDED,
    fields: &[Field::Policy, Field::State],
};

const TOO_MANY_REQUESTS: DocumentedResponse = DocumentedResponse {
    status: StatusCode::TOO_MANY_REQUESTS,
    reason: "The limit of this request is reached.",
    problem: QUOTA_EXCEEDED,
    fields: &[Field::Policy, Field::State, Field::RetryAfter],
};

const SERVICE_UNAVAILABLE: DocumentedResponse = DocumentedResponse {
    status: StatusCode::SERVICE_UNAVAILABLE,
    reason: "The limit of this request cannot be checked.",
    problem: REDUCED_CAPACITY,
    fields: &[Field::Policy, Field::RetryAfter],
};

fn responses<const N: usize>(described: [DocumentedResponse; N]) -> ResponseMap {
    let entry = |it: DocumentedResponse| (it.status.as_str().to_owned(), RefOr::T(it.response()));
    described.into_iter().map(entry).collect()
}

impl IntoResponses for LimitResponses {
    fn responses() -> ResponseMap {
        responses([
            BAD_REQUEST,
            FORBIDDEN,
            CONTENT_TOO_LARGE,
            TOO_MANY_REQUESTS,
            SERVICE_UNAVAILABLE,
        ])
    }
}

impl IntoResponses for BadRequest {
    fn responses() -> ResponseMap {
        responses([BAD_REQUEST])
    }
}

impl IntoResponses for Forbidden {
    fn responses() -> ResponseMap {
        responses([FORBIDDEN])
    }
}

impl IntoResponses for ContentTooLarge {
    fn responses() -> ResponseMap {
        responses([CONTENT_TOO_LARGE])
    }
}

impl IntoResponses for TooManyRequests {
    fn responses() -> ResponseMap {
        responses([TOO_MANY_REQUESTS])
    }
}

impl IntoResponses for ServiceUnavailable {
    fn responses() -> ResponseMap {
        responses([SERVICE_UNAVAILABLE])
    }
}
