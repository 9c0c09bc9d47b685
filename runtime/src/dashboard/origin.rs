//! Protection against cross-site requests: distinguishes requests of the page itself from requests
//! of other sites.

use axum::http::{HeaderMap, Uri, header};

/// Returns the name under which a request has addressed the service, with its port if it says one.
/// Returns `None` if there is none, or if the request says several.
pub(super) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let lines = headers.get_all(header::HOST).into_iter().map(|host| host.to_str().unwrap_or(""));
    let authority = uri.authority().map(|authority| authority.as_str());
    let mut hosts = lines.chain(authority);
    let host = hosts.next().filter(|host| !host.is_empty())?;
    hosts.all(|other| other.eq_ignore_ascii_case(host)).then_some(host)
}

/// Returns `true` if the page itself has sent the request to `host`. Browsers send the relation to
/// the request's origin in `Sec-Fetch-Site` if the connection is secure, and the origin itself in
/// `Origin` with every form.
pub(super) fn is_own(headers: &HeaderMap, host: Option<&str>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    // Extensions have origins of other schemes, and choose the name in them.
    let origin = origin
        .and_then(|origin| origin.split_once("://"))
        .filter(|(scheme, _)| ["http", "https"].contains(scheme))
        .map(|(_, host)| host);
    matches!((host, origin), (Some(host), Some(origin)) if host.eq_ignore_ascii_case(origin))
}

/// Returns `true` if the name of a request is one of the `hosts`. One without a port stands for all
/// ports.
pub(super) fn is_one_of(host: Option<&str>, hosts: &[String]) -> bool {
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        // The colons within brackets belong to an IPv6 address.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    hosts.iter().any(|own| own.eq_ignore_ascii_case(host) || own.eq_ignore_ascii_case(name))
}
