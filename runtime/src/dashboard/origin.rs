//! Protection against cross-site requests: distinguishes requests of the page itself from requests
//! of other sites.

use axum::http::{HeaderMap, Uri, header};

/// Returns `true` if the page itself has sent the request. Browsers send the relation to the
/// request's origin in `Sec-Fetch-Site` if the connection is secure, and the origin itself in
/// `Origin` with every form.
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
