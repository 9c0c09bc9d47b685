//! The options by which keys are resolved: trust in proxies, and the handling of requests that lack
//! a key.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderName;
use axum::http::request::Parts;

use super::error::KeyError;
use super::network::{Nat64Prefix, Network, Translation};
use super::silent_proxies::SilentProxies;
use crate::subject::Subject;
use crate::subject_hash::SubjectHash;

/// The handling of requests that lack the key of their limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnMissingKey {
    /// Refuses the request: with 400 if the client left the key out, or with 500 if the server
    /// should have provided it. This is the default.
    #[default]
    Reject,
    /// Counts all such requests together. In a tuple of keys, only the missing part is replaced by
    /// a shared value.
    Shared,
    /// Lets the request through without counting it.
    Exempt,
}

/// The header in which trusted proxies name the client. Only one header is read. A proxy forwards
/// other headers unchanged, so a client could set them to any value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`. The default.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The header that names the client.
#[derive(Clone, Debug)]
pub(crate) enum ClientHeader {
    XForwardedFor,
    Forwarded,
    /// A header that contains one address.
    Single(HeaderName),
}

impl From<ForwardedHeader> for ClientHeader {
    fn from(header: ForwardedHeader) -> Self {
        match header {
            ForwardedHeader::XForwardedFor => Self::XForwardedFor,
            ForwardedHeader::Forwarded => Self::Forwarded,
        }
    }
}

/// A function of the user that returns the peer's address.
pub(crate) type PeerFunction = Arc<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// The rules by which a client's address is found and converted into a subject.
pub(crate) struct AddressOptions {
    /// The trusted proxies in canonical form.
    trusted_proxies: Vec<Network>,
    pub(super) translation: Translation,
    pub(crate) peer: Option<PeerFunction>,
    pub(crate) client_header: ClientHeader,
    /// The number of leading bits of an IPv6 address that identify one client.
    pub(crate) ipv6_prefix: u8,
    pub(super) silent_proxies: SilentProxies,
}

impl AddressOptions {
    /// Creates options with these trusted proxies, and these prefixes of an operator's own
    /// translators. By default IPv6 clients are counted by the first 64 bits of their address.
    pub(crate) fn new(trusted_proxies: &[Network], prefixes: Vec<Nat64Prefix>) -> Self {
        let translation = Translation { prefixes };
        let canonical = |proxy: &Network| translation.canonical_network(*proxy);
        Self {
            trusted_proxies: trusted_proxies.iter().map(canonical).collect(),
            translation,
            peer: None,
            client_header: ClientHeader::XForwardedFor,
            ipv6_prefix: 64,
            silent_proxies: SilentProxies::default(),
        }
    }

    /// Returns `true` if the trusted networks contain far more than one operator's proxies.
    pub(crate) fn trusts_widely(&self) -> bool {
        self.trusted_proxies.iter().any(Network::is_wide)
    }

    /// Returns `true` if a canonical address is that of a trusted proxy.
    #[inline]
    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.contains(address))
    }

    /// Returns an address in its canonical form.
    pub(crate) fn canonical(&self, address: IpAddr) -> IpAddr {
        self.translation.canonical(address)
    }

    /// Returns `true` if one of the networks contains a canonical address.
    pub(crate) fn is_in(&self, address: IpAddr, networks: &[Network]) -> bool {
        let contains =
            |network: &Network| self.translation.canonical_network(*network).contains(address);
        networks.iter().any(contains)
    }
}

impl fmt::Debug for AddressOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressOptions")
            .field("trusted_proxies", &self.trusted_proxies)
            .field("nat64_prefixes", &self.translation.prefixes)
            .field("peer", &self.peer.is_some())
            .field("client_header", &self.client_header)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .finish_non_exhaustive()
    }
}

/// The options in effect for the key of one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyOptions<'a> {
    pub(crate) address: &'a AddressOptions,
    /// The hash of credentials.
    pub(crate) hash: &'a SubjectHash,
    pub(crate) on_missing: OnMissingKey,
}

/// The subject of a request; `Ok(None)` if the request is exempt and not counted.
pub(crate) type SubjectResult = Result<Option<Subject>, KeyError>;

impl KeyOptions<'_> {
    /// Applies `on_missing` to a request that lacks its key. Other errors stay errors: an address
    /// that the server does not pass to handlers, because every request would lack it; and what a
    /// client has sent in a form that cannot be used, because it could choose its subject by that.
    pub(super) fn or_missing(self, subject: Result<Subject, KeyError>) -> SubjectResult {
        match (subject, self.on_missing) {
            (Ok(subject), _) => Ok(Some(subject)),
            (Err(error), OnMissingKey::Reject) => Err(error),
            (Err(error), _) if !error.can_be_excused() => Err(error),
            (Err(_), OnMissingKey::Shared) => Ok(Some(Subject::missing())),
            (Err(_), OnMissingKey::Exempt) => Ok(None),
        }
    }
}
