//! Problem details (RFC 9457).

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::json::json_string;

/// Problem details, the default body of a refusal. [`Refusal::problem`] returns them, and they can
/// be changed before they are sent.
///
/// [`Refusal::problem`]: crate::http::Refusal::problem
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is a response: return it"]
pub struct Problem {
    status: StatusCode,
    type_uri: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Cow<'static, str>,
    instance: Option<String>,
    violated_policies: Vec<String>,
    /// Extension members: names and JSON values.
    members: Vec<(String, String)>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        type_uri: &'static str,
        title: &'static str,
        detail: String,
        violated_policies: Vec<String>,
    ) -> Self {
        Self {
            status,
            type_uri: type_uri.into(),
            title: title.into(),
            detail: detail.into(),
            instance: None,
            violated_policies,
            members: Vec::new(),
        }
    }

    /// Sets `type`, the URI that identifies the kind of problem.
    pub fn type_uri(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.type_uri = uri.into();
        self
    }

    /// Sets `title`, a summary of the kind of problem, for people.
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets `detail`, an explanation of this occurrence, for people.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Sets `instance`, the URI that identifies this occurrence.
    pub fn instance(mut self, uri: impl Into<String>) -> Self {
        self.instance = Some(uri.into());
        self
    }

    /// Sets the status code of the response, which is also a member of the body.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds an extension member with a text as its value.
    pub fn with(mut self, name: impl Into<String>, text: impl AsRef<str>) -> Self {
        self.members.push((name.into(), json_string(text.as_ref())));
        self
    }

    /// Removes the member `violated-policies`, which contains the names of the limits that refused.
    pub fn without_policies(mut self) -> Self {
        self.violated_policies.clear();
        self
    }

    /// Serializes the problem as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(384);
        let mut push = |name: &str, value: &str| {
            json.push(if json.is_empty() { '{' } else { ',' });
            json.push_str(name);
            json.push(':');
            json.push_str(value);
        };
        push("\"type\"", &json_string(&self.type_uri));
        push("\"title\"", &json_string(&self.title));
        push("\"status\"", self.status.as_str());
        push("\"detail\"", &json_string(&self.detail));
        if let Some(instance) = &self.instance {
            push("\"instance\"", &json_string(instance));
        }
        if !self.violated_policies.is_empty() {
            let names: Vec<String> =
                self.violated_policies.iter().map(|name| json_string(name)).collect();
            push("\"violated-policies\"", &format!("[{}]", names.join(",")));
        }
        for (name, value) in &self.members {
            push(&json_string(name), value);
        }
        json.push('}');
        json
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        response(self.status, self.to_json().into())
    }
}

/// Creates the response for problem details from their serialized body.
pub(super) fn response(status: StatusCode, json: Bytes) -> Response {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let problem_json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
    response
}
