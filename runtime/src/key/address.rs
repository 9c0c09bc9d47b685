//! Finds a client's address.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::header::FORWARDED;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::address_text::{self, AddressText};
use super::forwarded;
use super::options::{AddressOptions, ClientHeader};
use super::silent_proxies::Fault;
use crate::subject::Subject;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the subject of the client's address, or `None` if the server does not pass the peer's
/// address to handlers.
pub(super) fn subject(parts: &Parts, options: &AddressOptions) -> Option<Subject> {
    client_address(parts, options).map(|address| subject_of(address, options.ipv6_prefix))
}

/// Returns the subject of an address in its canonical form.
pub(crate) fn subject_of(address: IpAddr, ipv6_prefix: u8) -> Subject {
    Subject::plain(address_text::text(address, ipv6_prefix).as_str())
}

/// Returns the text of the subject that [`subject`] returns, without an allocation.
#[inline]
pub(super) fn text(parts: &Parts, options: &AddressOptions) -> Option<AddressText> {
    let client = client_address(parts, options)?;
    Some(address_text::text(client, options.ipv6_prefix))
}

/// Returns the client's address in its canonical form, or `None` if the server does not pass the
/// peer's address to handlers.
///
/// If the peer is not a trusted proxy, the peer is the client, and no header is read. Otherwise
/// the header of the options names the client.
#[inline]
pub(crate) fn client_address(parts: &Parts, options: &AddressOptions) -> Option<IpAddr> {
    let peer = options.translation.canonical(peer(parts, options)?);
    if options.is_trusted(peer) {
        return Some(named_client(peer, &parts.headers, options));
    }
    Some(peer)
}

/// Returns the address of the connection's other end; `None` if the request does not contain it.
fn peer(parts: &Parts, options: &AddressOptions) -> Option<IpAddr> {
    let extensions = &parts.extensions;
    let own = || options.peer.as_ref().and_then(|peer| peer(parts));
    let real = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let mock = || extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    own().or_else(real).or_else(|| tonic_peer(extensions)).or_else(mock)
}

/// Returns the address that tonic's server tells, also of connections by TLS.
#[cfg(feature = "tonic")]
fn tonic_peer(extensions: &Extensions) -> Option<IpAddr> {
    use tonic::transport::server::TcpConnectInfo;

    Some(extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip())
}

#[cfg(not(feature = "tonic"))]
fn tonic_peer(_: &Extensions) -> Option<IpAddr> {
    None
}

/// Returns the address that the header names to a trusted `peer`. If the header names nobody, or
/// somebody who cannot be read, the last proxy that was found is the client, and the fault is
/// logged.
fn named_client(peer: IpAddr, headers: &HeaderMap, options: &AddressOptions) -> IpAddr {
    let (client, fault) = match &options.client_header {
        ClientHeader::XForwardedFor => {
            last_untrusted(peer, headers, &X_FORWARDED_FOR, forwarded::x_forwarded_for, options)
        }
        ClientHeader::Forwarded => {
            last_untrusted(peer, headers, &FORWARDED, forwarded::forwarded, options)
        }
        ClientHeader::Single(name) => match single(headers, name) {
            Ok(address) => (options.translation.canonical(address), None),
            Err(fault) => (peer, Some(fault)),
        },
    };
    if let Some(fault) = fault {
        let header = match &options.client_header {
            ClientHeader::XForwardedFor => &X_FORWARDED_FOR,
            ClientHeader::Forwarded => &FORWARDED,
            ClientHeader::Single(name) => name,
        };
        options.silent_proxies.tell(client, header, &fault);
    }
    client
}

/// Returns the rightmost address in the header that is not a trusted proxy. An entry that cannot be
/// parsed ends the search, and the address to its right is returned: anyone can have written the
/// entries to its left.
fn last_untrusted<'a>(
    peer: IpAddr,
    headers: &'a HeaderMap,
    name: &HeaderName,
    list: fn(&[u8]) -> forwarded::ForwardedList<'_>,
    options: &AddressOptions,
) -> (IpAddr, Option<Fault<'a>>) {
    let mut client = peer;
    // Several lines of the header form one list, which is read from its end.
    let entries = headers.get_all(name).iter().rev().map(HeaderValue::as_bytes).flat_map(list);
    for (address, entry) in entries {
        let Some(address) = address else { return (client, Some(Fault::Unreadable(entry))) };
        client = options.translation.canonical(address);
        if !options.is_trusted(client) {
            return (client, None);
        }
    }
    (client, Some(Fault::Absent))
}

/// Returns the address in a header that contains exactly one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<IpAddr, Fault<'a>> {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let line = lines.next().ok_or(Fault::Absent)?;
    if let Some(other) = lines.find(|other| *other != line) {
        return Err(Fault::Unreadable(other));
    }
    forwarded::single(line).ok_or(Fault::Unreadable(line))
}
