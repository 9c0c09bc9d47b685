//! Options that keys are resolved by: trust in proxies, and requests without a key.

use ipnet::IpNet;

use super::error::KeyError;
use crate::subject::Subject;

/// Treatment of a request that lacks the key of its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnMissingKey {
    /// Refuses the request: with 400 if the client left the key out, with 500 if the server
    /// should have provided it. The default.
    #[default]
    Reject,
    /// Counts all such requests together. In a tuple, this applies to the missing part alone.
    Shared,
    /// Lets the request through without counting it.
    Exempt,
}

/// The one header in which trusted proxies name the client. The other header is ignored: a proxy
/// forwards unchanged what it does not write itself, so a client could fill it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`. The default.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Rules by which a client's address is found and turned into a subject.
#[derive(Clone, Debug)]
pub(crate) struct AddressOptions {
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) forwarded_header: ForwardedHeader,
    /// Leading bits of an IPv6 address that identify one client.
    pub(crate) ipv6_prefix: u8,
}

impl AddressOptions {
    /// Trusts no proxy, and counts IPv6 clients by /64.
    pub(crate) fn new() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            ipv6_prefix: 64,
        }
    }
}

/// Options in effect for the key of one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyOptions<'a> {
    pub(crate) address: &'a AddressOptions,
    pub(crate) on_missing: OnMissingKey,
}

/// The subject of a request; `Ok(None)` if the request is exempt and not counted.
pub(crate) type SubjectResult = Result<Option<Subject>, KeyError>;

impl KeyOptions<'_> {
    /// Applies `on_missing` to a request that lacks its key. An address that the server does not
    /// pass on is never the request's own lack, and stays an error.
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
