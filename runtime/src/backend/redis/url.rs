//! Redis URLs: the addresses of the servers, and the options for connecting to them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::credentials::Credentials;
use crate::{BackendError, duration_text, suggest};

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;
const SENTINEL_USERNAME: &str = "sentinel_username";
const SENTINEL_PASSWORD: &str = "sentinel_password";
const PARAMETERS: [&str; 9] = [
    "sentinel_master",
    SENTINEL_USERNAME,
    SENTINEL_PASSWORD,
    "key_prefix",
    "cluster",
    "pool_size",
    "deadline",
    "max_age",
    "db",
];

/// The parts of a URL. Parts that the URL does not contain are `None`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct RedisUrl {
    pub(super) location: Location,
    pub(super) tls: bool,
    pub(super) credentials: Credentials,
    pub(super) database: i64,
    pub(super) sentinel_master: Option<String>,
    pub(super) sentinel_credentials: Credentials,
    pub(super) key_prefix: Option<String>,
    pub(super) cluster: Option<bool>,
    pub(super) pool_size: Option<usize>,
    pub(super) deadline: Option<Duration>,
    pub(super) max_age: Option<Duration>,
}

/// The hosts or the socket that a URL contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Each host, and its port if the URL contains one.
    Hosts(Vec<(String, Option<u16>)>),
    Socket(PathBuf),
}

impl Default for Location {
    fn default() -> Self {
        Self::Hosts(Vec::new())
    }
}

/// The reason for a URL that cannot be read because of its password. It repeats nothing of the URL.
const UNREADABLE_PASSWORD: &str = "there is an `@` behind its first `/` or `?`. If that `@` ends a \
    user and password, percent-encode the special characters in these: `/` is `%2F`, `?` is `%3F`, \
    `#` is `%23`, `%` is `%25`, `@` is `%40`. If it belongs to a parameter, write `%40`";

impl RedisUrl {
    pub(super) fn parse(text: &str) -> Result<Self, BackendError> {
        parse(text).map_err(|reason| {
            // A `/` or `?` in a password ends what is read as the hosts, so the reason may contain
            // a part of the password.
            let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
            let behind = rest.split_once(['/', '?']).map_or("", |(_, behind)| behind);
            let reason = if behind.contains('@') { UNREADABLE_PASSWORD.to_owned() } else { reason };
            BackendError::not_executed(format!("this is not a URL of Redis: {reason}"))
        })
    }

    /// Returns the hosts with their ports. A host without a port has the default port of Redis, or
    /// that of sentinels if the URL has the name of a master.
    pub(super) fn hosts(&self) -> Vec<(String, u16)> {
        let default =
            if self.sentinel_master.is_some() { DEFAULT_SENTINEL_PORT } else { DEFAULT_PORT };
        match &self.location {
            Location::Hosts(hosts) => {
                hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(default))).collect()
            }
            Location::Socket(_) => Vec::new(),
        }
    }

    /// Returns `true` if the servers are a cluster.
    ///
    /// # Errors
    ///
    /// If parts of the URL contradict each other.
    pub(super) fn is_cluster(&self) -> Result<bool, BackendError> {
        let several = matches!(&self.location, Location::Hosts(hosts) if hosts.len() > 1);
        let socket = matches!(&self.location, Location::Socket(_));
        let is_cluster = self.cluster.unwrap_or(several && self.sentinel_master.is_none());
        let reason = if self.sentinel_master.is_some() && is_cluster {
            "`sentinel_master` and `cluster=true` contradict each other: give one of them"
        } else if several && !is_cluster && self.sentinel_master.is_none() {
            "several hosts are a cluster, or sentinels if `sentinel_master` is given; with \
             `cluster=false` give one host"
        } else if socket && (is_cluster || self.sentinel_master.is_some()) {
            "a Unix socket is a single server: leave `cluster` and `sentinel_master` out"
        } else if self.sentinel_credentials != Credentials::default()
            && self.sentinel_master.is_none()
        {
            "a user or password of sentinels is given, but no name of a master: add \
             `sentinel_master`"
        } else if self.sentinel_credentials.lack_password() {
            "a user of sentinels comes with a password: add `sentinel_password`"
        } else if is_cluster && self.database != 0 {
            "a cluster has only database 0: leave the number out"
        } else {
            return Ok(is_cluster);
        };
        Err(BackendError::not_executed(reason))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUrl").field("location", &self.location).finish_non_exhaustive()
    }
}

fn parse(text: &str) -> Result<RedisUrl, String> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("it begins with `redis://`, `rediss://` or `redis+unix://`")?;
    // An error does not repeat the URL, which may contain a password.
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = RedisUrl { tls: scheme == "rediss", ..RedisUrl::default() };
    match scheme {
        "redis" | "rediss" => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let hosts = url.take_credentials(authority)?;
            let hosts: Result<Vec<_>, String> = hosts.split(',').map(host).collect();
            url.location = Location::Hosts(hosts?);
            if !path.is_empty() {
                url.database = database(path)?;
            }
        }
        "redis+unix" | "unix" => {
            let path = match rest.find('/') {
                Some(at) => {
                    url.take_credentials(&rest[..at])?;
                    decode(&rest[at..])?
                }
                None => {
                    return Err(
                        "a socket's path begins with `/`: redis+unix:///run/redis.sock".into()
                    );
                }
            };
            url.location = Location::Socket(path.into());
        }
        // A text that is no scheme may be a password that contains `://`.
        other if other.contains([':', '@']) => {
            return Err("it begins with `redis://`, `rediss://` or `redis+unix://`".into());
        }
        other => {
            return Err(format!(
                "its scheme is `{other}`; it begins with `redis://`, `rediss://` or `redis+unix://`"
            ));
        }
    }
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            // A `+` in a password stands for itself, also in a parameter.
            Some((SENTINEL_USERNAME, name)) => url.sentinel_credentials.username = given(name)?,
            Some((SENTINEL_PASSWORD, text)) => url.sentinel_credentials.password = given(text)?,
            _ => {
                for (name, value) in form_urlencoded::parse(parameter.as_bytes()) {
                    url.take_parameter(&name, &value)?;
                }
            }
        }
    }
    Ok(url)
}

impl RedisUrl {
    /// Stores the credentials before `@`, and returns the text after it.
    fn take_credentials<'a>(&mut self, authority: &'a str) -> Result<&'a str, String> {
        let Some((credentials, hosts)) = authority.rsplit_once('@') else { return Ok(authority) };
        let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        self.credentials = Credentials { username: given(username)?, password: given(password)? };
        if self.credentials.lack_password() {
            return Err("a user name comes with a password: `redis://user:password@host`; for a \
                        password alone, write `redis://:password@host`"
                .into());
        }
        Ok(hosts)
    }

    fn take_parameter(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| Err(format!("`{name}` is {expected}, not `{value}`"));
        match name {
            "sentinel_master" if value.is_empty() => return wrong("a name"),
            "sentinel_master" => self.sentinel_master = Some(value.to_owned()),
            "key_prefix" => self.key_prefix = Some(value.to_owned()),
            "cluster" => match value {
                "true" => self.cluster = Some(true),
                "false" => self.cluster = Some(false),
                _ => return wrong("`true` or `false`"),
            },
            "pool_size" => match value.parse() {
                Ok(size) if size > 0 => self.pool_size = Some(size),
                _ => return wrong("a number of at least 1"),
            },
            "deadline" => match duration_text::parse(value) {
                Some(deadline) if !deadline.is_zero() => self.deadline = Some(deadline),
                _ => return wrong("a duration such as `100ms` or `2s`"),
            },
            "max_age" => match duration_text::parse(value) {
                Some(max_age) if !max_age.is_zero() => self.max_age = Some(max_age),
                _ => return wrong("a duration such as `30s` or `10m`"),
            },
            "db" if matches!(self.location, Location::Socket(_)) => {
                self.database = database(value)?;
            }
            "db" => {
                return Err("the database number stands behind the hosts: `redis://host/1`".into());
            }
            // The text behind an `&` that is not percent-encoded is a part of the password.
            _ if self.sentinel_credentials.password.is_some() => {
                return Err("it has no such parameter as one behind `sentinel_password`; \
                            percent-encode an `&` of the password: `%26`"
                    .into());
            }
            unknown => return Err(unknown_parameter(unknown)),
        }
        Ok(())
    }
}

fn unknown_parameter(name: &str) -> String {
    let hint = suggest::hint(name, PARAMETERS, "it has none");
    format!("it has no parameter `{name}`: {hint}")
}

fn host(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a `[` has no `]`")?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("a host is missing".into());
    }
    let port = port.map(|port| match port.parse() {
        Ok(port) if port > 0 => Ok(port),
        // The text is not repeated, because it is a password if the host is missing.
        _ => Err("a host's port is not a number from 1 to 65535; a user and password end with \
                  `@`: `redis://user:password@host`"
            .to_owned()),
    });
    Ok((decode(host)?, port.transpose()?))
}

fn database(text: &str) -> Result<i64, String> {
    match text.parse::<u32>() {
        Ok(number) => Ok(number.into()),
        Err(_) => Err(format!("`{text}` is not the number of a database")),
    }
}

/// Decodes a part of the credentials. An empty one is not given.
fn given(text: &str) -> Result<Option<String>, String> {
    Ok(Some(decode(text)?).filter(|text| !text.is_empty()))
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| {
        "a `%` does not stand for text: write `%25` for one that stands for itself".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RedisUrl {
        RedisUrl::parse(text).unwrap()
    }

    fn error(text: &str) -> String {
        match RedisUrl::parse(text).and_then(|url| url.is_cluster()) {
            Ok(_) => panic!("{text} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    fn at(host: &str, port: u16) -> (String, u16) {
        (host.to_owned(), port)
    }

    #[test]
    fn the_urls_of_the_guide_are_understood() {
        let single = parse("redis://redis-server:6379/0");
        assert_eq!(single.hosts(), [at("redis-server", 6379)]);
        assert!(!single.is_cluster().unwrap());
        let mut sentinels = parse("redis://sentinel1:26379,sentinel2:26379,sentinel3:26379/0");
        sentinels.sentinel_master = Some("mymaster".into());
        assert!(!sentinels.is_cluster().unwrap());
        assert_eq!(sentinels.hosts().len(), 3);
        let cluster = parse("redis://node1:6379,node2:6379,node3:6379/0");
        assert!(cluster.is_cluster().unwrap());
        assert_eq!(cluster.hosts()[2], at("node3", 6379));
    }

    #[test]
    fn every_part_is_read() {
        let url = parse(
            "rediss://me:p%40s%2Fs@[::1]:7000/3?key_prefix=a%3A&pool_size=7&deadline=250ms&cluster=false",
        );
        assert!(url.tls);
        assert_eq!(url.hosts(), [at("::1", 7000)]);
        assert_eq!(url.credentials.username.as_deref(), Some("me"));
        assert_eq!(url.credentials.password.as_deref(), Some("p@s/s"));
        assert_eq!((url.database, url.pool_size), (3, Some(7)));
        assert_eq!(url.key_prefix.as_deref(), Some("a:"));
        assert_eq!(url.deadline, Some(Duration::from_millis(250)));
        assert_eq!(parse("redis://:secret@h").credentials.password.as_deref(), Some("secret"));
        assert_eq!(parse("redis://h").hosts(), [at("h", 6379)]);
        assert_eq!(parse("redis://a,b:1?sentinel_master=m").hosts(), [at("a", 26379), at("b", 1)]);
        assert!(parse("redis://h?cluster=true").is_cluster().unwrap());
        let url = parse(
            "redis://me:one@h?sentinel_master=m&sentinel_username=a%26&sentinel_password=t+w%26o#",
        );
        assert_eq!(url.credentials.password.as_deref(), Some("one"));
        assert_eq!(url.sentinel_credentials.username.as_deref(), Some("a&"));
        assert_eq!(url.sentinel_credentials.password.as_deref(), Some("t+w&o#"));
        let url = parse("redis://h?sentinel_master=m&sentinel_password=");
        assert_eq!(url.sentinel_credentials.password, None);
        let socket = parse("redis+unix://me:secret@/run/a%20b.sock?db=2");
        assert_eq!(socket.location, Location::Socket("/run/a b.sock".into()));
        assert_eq!((socket.database, socket.credentials.username.as_deref()), (2, Some("me")));
    }

    #[test]
    fn mistakes_are_explained() {
        for (url, expected) in [
            ("h:6379", "redis://"),
            ("http://h", "`http`"),
            ("redis://", "host is missing"),
            ("redis://a,,b", "host is missing"),
            ("redis://h:port", "port is not a number"),
            ("redis://:%ff@h", "`%25`"),
            ("redis://h/one", "`one` is not the number"),
            ("redis://h?sentinel_mastr=m", "did you mean `sentinel_master`?"),
            ("redis://h?prefix=m", "there is `sentinel_master`, `sentinel_username`"),
            ("redis://h?sentinel_password=p", "add `sentinel_master`"),
            ("redis://h?sentinel_master=m&sentinel_username=u", "add `sentinel_password`"),
            ("redis://h?sentinel_master=m&sentinel_password=p&ss", "`%26`"),
            ("redis://h?cluster=yes", "`true` or `false`"),
            ("redis://h?pool_size=0", "at least 1"),
            ("redis://h?deadline=100", "`100ms`"),
            ("redis://h?db=1", "redis://host/1"),
            ("redis://user@h", "comes with a password"),
            ("redis+unix://run", "begins with `/`"),
            ("redis://a,b/1", "only database 0"),
            ("redis://h/1?cluster=true", "only database 0"),
            ("redis://a,b?cluster=false", "several hosts"),
            ("redis://a?cluster=true&sentinel_master=m", "contradict"),
            ("redis+unix:///s?cluster=true", "single server"),
        ] {
            let error = error(url);
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = parse("redis://:secret@h");
        assert!(!format!("{url:?}").contains("secret"));
        for text in [
            "redis://:secret@h:x",
            "redis://app:secret",
            "redis://h:secret:6379",
            "redis://h?sentinel_master=m&sentinel_password=a&secret",
            "redis://h?sentinel_master=m&sentinel_password=secret&x=1",
            "redis://h?sentinel_password=se@secret",
        ] {
            assert!(!error(text).contains("secret"), "{text}");
        }
    }

    /// Each special character at each place of a password: either the password is read as it is
    /// written, or the error tells how to write it, and repeats none of it.
    #[test]
    fn special_characters_in_passwords_are_read_or_explained() {
        let mut counts = (0, 0);
        for special in ["/", "?", "@", "#", "%", ":", "://", "[", "]", ",", "+", "&", "=", ";", " "]
        {
            for (before, after) in
                [("", "hunter"), ("hunter", "22"), ("7000", "22"), ("22", "hunter"), ("hunter", "")]
            {
                // That is `"`, percent-encoded.
                if special == "%" && after == "22" {
                    continue;
                }
                let password = format!("{before}{special}{after}");
                for user in ["", "app"] {
                    for rest in ["h", "h:6379/0", "h/0?pool_size=2", "a,b?sentinel_master=m"] {
                        for scheme in ["redis://", "rediss://"] {
                            let text = format!("{scheme}{user}:{password}@{rest}");
                            match RedisUrl::parse(&text) {
                                Ok(url) => {
                                    assert_eq!(
                                        url.credentials.password.as_deref(),
                                        Some(&*password),
                                        "{text}"
                                    );
                                    counts.0 += 1;
                                }
                                Err(error) => {
                                    let error = error.to_string();
                                    assert!(error.contains("percent-encode"), "{text}: {error}");
                                    for part in ["hunter", "7000", "22"] {
                                        assert!(!error.contains(part), "{text}: {error}");
                                    }
                                    counts.1 += 1;
                                }
                            }
                            let encoded = form_urlencoded::byte_serialize(password.as_bytes());
                            let encoded = encoded.collect::<String>().replace('+', "%20");
                            let text = format!("{scheme}{user}:{encoded}@{rest}");
                            assert_eq!(
                                parse(&text).credentials.password.as_deref(),
                                Some(&*password),
                                "{text}"
                            );
                        }
                    }
                }
            }
        }
        // Only `/`, `?` and `://` must be encoded.
        assert_eq!(counts, (12 * 80 - 32, 3 * 80));
    }
}
