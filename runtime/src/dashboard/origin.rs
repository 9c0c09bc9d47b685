//! Whether a request was sent by the page itself, and not by another that its reader has open.

use axum::http::{HeaderMap, Uri, header};

/// Browsers say where a request comes from: by `Sec-Fetch-Site` where the connection is secure,
/// and by `Origin` with every form that is sent.
pub(super) fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(uri.authority().map(|authority| authority.as_str()));
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    matches!((host, origin), (Some(host), Some(origin)) if host.eq_ignore_ascii_case(origin))
}
