//! The key: whose requests are counted. Its value for one request is the [`Subject`].

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, FromRequestParts as _, RawPathParams};
use axum::http::header::COOKIE;
use axum::http::request::Parts;

use crate::subject::{IntoSubject, Subject};

/// Whose requests are counted.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// The client's address.
    Ip,
    /// Everybody's together.
    Global,
    /// The value of this request header, given in lower case.
    Header(&'static str),
    /// The value of this cookie.
    Cookie(&'static str),
    /// The part of the path that the route calls by this name.
    PathParam(&'static str),
    /// The first value of this name in the query string.
    Query(&'static str),
    /// What the request itself does not say: an extension, or a user's function.
    Function(fn(&Parts) -> Result<Subject, KeyError>),
    /// All of these together.
    All(&'static [Self]),
}

/// Why a request has no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The server was not told to pass addresses on.
    #[error(
        "the client's address is not known to the handler. Serve the router with \
         `into_make_service_with_connect_info::<SocketAddr>()`, or in tests add the layer \
         `MockConnectInfo(SocketAddr)`"
    )]
    NoConnectInfo,
    /// The client left out this header.
    #[error("the header `{0}` is required")]
    NoHeader(&'static str),
    /// The client left out this cookie.
    #[error("the cookie `{0}` is required")]
    NoCookie(&'static str),
    /// The client left this out of the query.
    #[error("`{0}` is required in the query")]
    NoQuery(&'static str),
    /// The route does not name this part of the path.
    #[error("the route has no path parameter `{0}`: name it in the route, as in `/{{{0}}}`")]
    NoPathParam(&'static str),
    /// No layer has put an extension of this type there.
    #[error("the request has no extension of type `{0}`: add the layer that puts it there")]
    NoExtension(&'static str),
    /// The user's function found none.
    #[error("it lacks what its limit counts by")]
    NoSubject,
}

impl KeyError {
    /// Whether it is the client who left something out, and not the server's own mistake.
    pub(crate) fn is_clients(self) -> bool {
        match self {
            Self::NoHeader(_) | Self::NoCookie(_) | Self::NoQuery(_) | Self::NoSubject => true,
            Self::NoConnectInfo | Self::NoPathParam(_) | Self::NoExtension(_) => false,
        }
    }
}

impl Key {
    /// Who is asking.
    pub(crate) async fn subject(&self, parts: &mut Parts) -> Result<Subject, KeyError> {
        let Self::All(keys) = self else { return self.single(parts).await };
        let mut subjects = Vec::with_capacity(keys.len());
        for key in *keys {
            subjects.push(key.single(parts).await?);
        }
        let subjects: Vec<&dyn Display> = subjects.iter().map(|subject| subject as _).collect();
        Ok(Subject::of(&subjects))
    }

    async fn single(&self, parts: &mut Parts) -> Result<Subject, KeyError> {
        match *self {
            Self::Ip => peer(parts).map(address_subject).ok_or(KeyError::NoConnectInfo),
            Self::Global => Ok(Subject::everybody()),
            Self::Header(name) => match parts.headers.get(name) {
                Some(value) if !value.is_empty() => Ok(Subject::secret(value.as_bytes())),
                _ => Err(KeyError::NoHeader(name)),
            },
            Self::Cookie(name) => match cookie(parts, name) {
                Some(value) if !value.is_empty() => Ok(Subject::secret(value)),
                _ => Err(KeyError::NoCookie(name)),
            },
            Self::Query(name) => {
                let query = parts.uri.query().unwrap_or_default();
                let mut pairs = form_urlencoded::parse(query.as_bytes());
                let pair = pairs.find(|(key, _)| key == name);
                pair.map(|(_, value)| Subject::of(&[&value])).ok_or(KeyError::NoQuery(name))
            }
            Self::PathParam(name) => {
                let missing = KeyError::NoPathParam(name);
                let params = RawPathParams::from_request_parts(parts, &()).await;
                let params = params.map_err(|_| missing)?;
                let mut params = params.iter();
                let param = params.find(|(key, _)| *key == name);
                param.map(|(_, value)| Subject::of(&[&value])).ok_or(missing)
            }
            Self::Function(function) => function(parts),
            // The attribute writes no tuple within a tuple.
            Self::All(_) => Err(KeyError::NoSubject),
        }
    }
}

/// The subject that an extension of the request is.
pub fn extension<T: Display + Send + Sync + 'static>(parts: &Parts) -> Result<Subject, KeyError> {
    let missing = || KeyError::NoExtension(std::any::type_name::<T>());
    parts.extensions.get::<T>().map(|value| Subject::of(&[value])).ok_or_else(missing)
}

/// The subject that a user's key function has found.
pub fn found(subject: impl IntoSubject) -> Result<Subject, KeyError> {
    subject.into_subject().ok_or(KeyError::NoSubject)
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    let extensions = &parts.extensions;
    let real = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let mock = || extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0);
    real().or_else(mock).map(|address| address.ip())
}

/// One subject for what one client can choose among: an IPv4 address, also if it is written
/// as an IPv6 one, or an IPv6 /64, the least that a subscriber gets (RFC 6177).
fn address_subject(address: IpAddr) -> Subject {
    match address.to_canonical() {
        IpAddr::V4(address) => Subject::of(&[&address]),
        IpAddr::V6(address) => ipv6_prefix(address),
    }
}

fn ipv6_prefix(address: Ipv6Addr) -> Subject {
    let [a, b, c, d, ..] = address.segments();
    Subject::of(&[&format_args!("{a:x}:{b:x}:{c:x}:{d:x}/64")])
}

/// The value of the first cookie of this name (RFC 6265 §5.4: `a=1; b=2`, in any number of
/// lines).
fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a [u8]> {
    let lines = parts.headers.get_all(COOKIE).into_iter();
    let mut cookies = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    cookies.find_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Request};

    use super::*;

    fn parts(configure: impl FnOnce(&mut Parts)) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        configure(&mut parts);
        parts
    }

    /// No key waits for anything but the user's own functions.
    fn subject(key: Key, mut parts: Parts) -> Result<String, KeyError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let subject = runtime.block_on(key.subject(&mut parts))?;
        Ok(subject.as_str().to_owned())
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn subject_of(text: &str) -> String {
        let parts = parts(|parts| {
            parts.extensions.insert(ConnectInfo(address(text)));
        });
        subject(Key::Ip, parts).unwrap()
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
        let both = parts(|parts| {
            parts.extensions.insert(MockConnectInfo(address("192.0.2.1:1")));
            parts.extensions.insert(ConnectInfo(address("192.0.2.2:1")));
        });
        assert_eq!(subject(Key::Ip, both).unwrap(), "192.0.2.2");
        assert_eq!(subject(Key::Ip, parts(|_| {})), Err(KeyError::NoConnectInfo));
    }

    #[test]
    fn header_values_are_hashed_and_absent_or_empty_ones_refused() {
        let with = |value: &'static [u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            parts(|parts| {
                parts.headers.insert("x-api-key", value);
            })
        };
        let key = Key::Header("x-api-key");
        assert_eq!(subject(key, with(b"secret")).unwrap(), "2bb80d537b1da3e38bd30361aa855686");
        assert_eq!(subject(key, with(b"\xff\xfe")).unwrap().len(), 32);
        let missing = Err(KeyError::NoHeader("x-api-key"));
        assert_eq!(subject(key, with(b"")), missing);
        assert_eq!(subject(key, parts(|_| {})), missing);
    }

    #[test]
    fn cookies_are_found_in_any_line_and_hashed() {
        let with = |lines: &'static [&'static str]| {
            parts(|parts| {
                for line in lines {
                    parts.headers.append(COOKIE, HeaderValue::from_static(line));
                }
            })
        };
        let key = Key::Cookie("sid");
        let secret = Ok("2bb80d537b1da3e38bd30361aa855686".to_owned());
        for lines in [
            &["sid=secret"] as &[_],
            &["a=1; sid=secret; b=2"],
            &["a=1", "xsid=2;sid=secret"],
            &["sid=\"secret\""],
            &["sid=secret; sid=other"],
        ] {
            assert_eq!(subject(key, with(lines)), secret, "{lines:?}");
        }
        for lines in [&[] as &[_], &["sid="], &["sid"], &["xsid=secret"], &["=; ;"]] {
            assert_eq!(subject(key, with(lines)), Err(KeyError::NoCookie("sid")), "{lines:?}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let with = |uri: &'static str| parts(|parts| parts.uri = uri.parse().unwrap());
        let key = Key::Query("q");
        assert_eq!(subject(key, with("/?a=1&q=two+words%21&q=3")).unwrap(), "two words!");
        assert_eq!(subject(key, with("/?q=")).unwrap(), "");
        assert_eq!(subject(key, with("/?a=q")), Err(KeyError::NoQuery("q")));
        assert_eq!(subject(key, with("/")), Err(KeyError::NoQuery("q")));
    }

    #[test]
    fn extensions_and_functions_and_tuples() {
        fn method(parts: &Parts) -> Result<Subject, KeyError> {
            found(parts.method.as_str())
        }
        fn nothing(_: &Parts) -> Result<Subject, KeyError> {
            found(None::<u32>)
        }
        let with = || {
            parts(|parts| {
                parts.extensions.insert(42_u32);
            })
        };
        let number = Key::Function(extension::<u32>);
        assert_eq!(subject(number, with()).unwrap(), "42");
        assert_eq!(subject(number, parts(|_| {})), Err(KeyError::NoExtension("u32")));
        assert_eq!(subject(Key::Function(nothing), with()), Err(KeyError::NoSubject));
        const ALL: &[Key] = &[Key::Function(method), Key::Function(extension::<u32>), Key::Global];
        assert_eq!(subject(Key::All(ALL), with()).unwrap(), "GET|42|*");
        assert!(subject(Key::All(ALL), parts(|_| {})).is_err());
    }
}
