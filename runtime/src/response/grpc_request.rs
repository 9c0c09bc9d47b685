//! Tells requests of gRPC from others.

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};

/// The start of every content type of gRPC.
const GRPC: &[u8] = b"application/grpc";

/// The content type that a gRPC response has if its request is not known.
pub(super) const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// Returns the request's content type, which is that of the response, too, if the request is one of
/// gRPC; otherwise `None`. gRPC and gRPC-Web use no method but POST.
#[inline]
pub(super) fn grpc_content_type(parts: &Parts) -> Option<&HeaderValue> {
    // Most requests are no POST.
    if parts.method != Method::POST {
        return None;
    }
    parts.headers.get(CONTENT_TYPE).filter(|value| is_grpc(value.as_bytes()))
}

/// Returns `true` for the content types of gRPC (`application/grpc`) and gRPC-Web
/// (`application/grpc-web`, `application/grpc-web-text`), each also with a format such as `+proto`.
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    let Some((start, kind)) = content_type.split_at_checked(GRPC.len()) else { return false };
    // Behind the name come a format, or parameters.
    let kind = kind.split(|byte| matches!(byte, b'+' | b';' | b' ')).next().unwrap_or_default();
    start.eq_ignore_ascii_case(GRPC)
        && [&b""[..], b"-web", b"-web-text"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn content_types() {
        for (content_type, is_of_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc+json", true),
            ("Application/GRPC; charset=utf-8", true),
            ("application/grpc-web", true),
            ("application/grpc-web+proto", true),
            ("application/grpc-web-text", true),
            ("application/grpc-web-text+proto", true),
            ("application/grpc-other", false),
            ("application/grpcs", false),
            ("application/grp", false),
            ("application/proto", false),
            ("application/connect+proto", false),
            ("application/json", false),
            ("", false),
        ] {
            for method in [Method::POST, Method::GET, Method::OPTIONS] {
                let request = Request::builder().method(&method).header(CONTENT_TYPE, content_type);
                let parts = request.body(()).unwrap().into_parts().0;
                let found = grpc_content_type(&parts).is_some();
                assert_eq!(found, is_of_grpc && method == Method::POST, "{method} {content_type}");
            }
        }
    }
}
