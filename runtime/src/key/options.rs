//! The options by which keys are resolved: trust in proxies, and the handling of requests that lack
//! a key.

use ipnet::IpNet;

use super::error::KeyError;
use crate::subject::Subject;

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

/// The rules by which a client's address is found and converted into a subject.
#[derive(Clone, Debug)]
pub(crate) struct AddressOptions {
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) forwarded_header: ForwardedHeader,
    /// The number of leading bits of an IPv6 address that identify one client.
    pub(crate) ipv6_prefix: u8,
}

impl AddressOptions {
    /// Creates the default options: no proxy is trusted, and IPv6 clients are counted by the first
    /// 64 bits of their address.
    pub(crate) fn new() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            ipv6_prefix: 64,
        }
    }
}

/// The options in effect for the key of one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyOptions<'a> {
    pub(crate) address: &'a AddressOptions,
    pub(crate) on_missing: OnMissingKey,
}

/// The subject of a request; `Ok(None)` if the request is exempt and not counted.
pub(crate) type SubjectResult = Result<Option<Subject>, KeyError>;

impl KeyOptions<'_> {
    /// Applies `on_missing` to a request that lacks its key. A client's address that the server
    /// does not pass to handlers is always an error, because every request would lack it.
    pub(super) fn or_missing(self, subject: Result<Subject, KeyError>) -> SubjectResult {
        match (subject, self.on_missing) {
            (Ok(subject), _) => Ok(Some(subject)),
            (Err(error @ KeyError::NoConnectInfo), _) | (Err(error), OnMissingKey::Reject) => {
                Err(error)
            }
            (Err(_), OnMissingKey::Shared) => Ok(Some(Subject::missing())),
            (Err(_), OnMissingKey::Exempt) => Ok(None),
        }
    }
}
