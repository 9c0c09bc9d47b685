//! The key: whose requests are counted. Its value for one request is the *subject*.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use smol_str::{SmolStr, format_smolstr};

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The client's address.
    Ip,
    /// Everybody's together.
    Global,
    /// The value of this request header, given in lower case.
    Header(&'static str),
}

/// Why a request has no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "the client's address is not known to the handler. Serve the router with \
         `into_make_service_with_connect_info::<SocketAddr>()`, or in tests add the layer \
         `MockConnectInfo(SocketAddr)`"
    )]
    NoConnectInfo,
    #[error("the header `{0}` is required")]
    MissingHeader(&'static str),
}

impl Key {
    /// Who is asking.
    pub(crate) fn subject(&self, parts: &Parts) -> Result<SmolStr, KeyError> {
        match *self {
            Self::Ip => peer(parts).map(address_subject).ok_or(KeyError::NoConnectInfo),
            Self::Global => Ok(SmolStr::new_static("global")),
            Self::Header(name) => match parts.headers.get(name) {
                Some(value) if !value.is_empty() => Ok(secret_subject(value.as_bytes())),
                _ => Err(KeyError::MissingHeader(name)),
            },
        }
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    let extensions = &parts.extensions;
    let real = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let mock = || extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0);
    real().or_else(mock).map(|address| address.ip())
}

/// One subject for what one client can choose among: an IPv4 address, also if it is written
/// as an IPv6 one, or an IPv6 /64, the least that a subscriber gets (RFC 6177).
fn address_subject(address: IpAddr) -> SmolStr {
    match address.to_canonical() {
        IpAddr::V4(address) => format_smolstr!("{address}"),
        IpAddr::V6(address) => ipv6_prefix(address),
    }
}

fn ipv6_prefix(address: Ipv6Addr) -> SmolStr {
    let [a, b, c, d, ..] = address.segments();
    format_smolstr!("{a:x}:{b:x}:{c:x}:{d:x}/64")
}

/// A credential is never kept, sent or logged as it is: half of its SHA-256 stands for it.
fn secret_subject(value: &[u8]) -> SmolStr {
    let digest = Sha256::digest(value);
    let half = digest.iter().take(16).fold(0_u128, |half, &byte| half << 8 | u128::from(byte));
    format_smolstr!("{half:032x}")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(configure: impl FnOnce(&mut Parts)) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        configure(&mut parts);
        parts
    }

    fn subject_of(address: &str) -> SmolStr {
        let address: SocketAddr = address.parse().unwrap();
        let parts = parts(|parts| {
            parts.extensions.insert(ConnectInfo(address));
        });
        Key::Ip.subject(&parts).unwrap()
    }

    #[test]
    fn addresses_fold_to_what_one_client_has() {
        assert_eq!(subject_of("192.0.2.7:1"), "192.0.2.7");
        assert_eq!(subject_of("192.0.2.7:1"), subject_of("192.0.2.7:2"));
        assert_eq!(subject_of("[::ffff:192.0.2.7]:1"), "192.0.2.7");
        assert_eq!(subject_of("[2001:db8:1:2::1]:1"), subject_of("[2001:db8:1:2:ffff::9]:1"));
        assert_ne!(subject_of("[2001:db8:1:2::1]:1"), subject_of("[2001:db8:1:3::1]:1"));
        assert_eq!(subject_of("[2001:db8:1:2::1]:1"), "2001:db8:1:2/64");
    }

    #[test]
    fn a_real_address_wins_over_a_mock_and_none_is_an_error() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let both = parts(|parts| {
            parts.extensions.insert(MockConnectInfo(address("192.0.2.1:1")));
            parts.extensions.insert(ConnectInfo(address("192.0.2.2:1")));
        });
        assert_eq!(Key::Ip.subject(&both).unwrap(), "192.0.2.2");
        assert_eq!(Key::Ip.subject(&parts(|_| {})), Err(KeyError::NoConnectInfo));
    }

    #[test]
    fn header_values_are_hashed_and_absent_or_empty_ones_refused() {
        let with = |value: &'static [u8]| {
            parts(|parts| {
                let value = axum::http::HeaderValue::from_bytes(value).unwrap();
                parts.headers.insert("x-api-key", value);
            })
        };
        let key = Key::Header("x-api-key");
        // printf secret | sha256sum, its first half.
        assert_eq!(key.subject(&with(b"secret")).unwrap(), "2bb80d537b1da3e38bd30361aa855686");
        assert_eq!(key.subject(&with(b"\xff\xfe")).unwrap().len(), 32);
        let missing = Err(KeyError::MissingHeader("x-api-key"));
        assert_eq!(key.subject(&with(b"")), missing);
        assert_eq!(key.subject(&parts(|_| {})), missing);
    }
}
