//! Redis URLs: the addresses of the servers, and the options for connecting to them.

use std::fmt;
use std::path::PathBuf;

use super::credentials::{CredentialSettings, Secret};
use super::settings::{RedisSettings, decode, given};
use super::tls::TlsSettings;
use crate::BackendError;
use crate::without_secrets::shown;

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// The parts of a URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct RedisUrl {
    pub(super) location: Location,
    pub(super) tls: bool,
    pub(super) database: i64,
    /// The credentials before `@`, and the parameters.
    pub(super) settings: RedisSettings,
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
    /// that of sentinels if there is the name of a master.
    pub(super) fn hosts(&self) -> Vec<(String, u16)> {
        let has_sentinels = self.settings.sentinel_master.is_some();
        let default = if has_sentinels { DEFAULT_SENTINEL_PORT } else { DEFAULT_PORT };
        match &self.location {
            Location::Hosts(hosts) => {
                hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(default))).collect()
            }
            Location::Socket(_) => Vec::new(),
        }
    }

    /// Returns a text that names the servers and the database, without credentials. URLs with the same
    /// hosts have the same text, in whatever order these stand.
    pub(super) fn place(&self) -> String {
        let mut hosts = self.hosts();
        hosts.iter_mut().for_each(|(host, _)| host.make_ascii_lowercase());
        hosts.sort();
        hosts.dedup();
        let servers = match &self.location {
            Location::Hosts(_) => format!("{hosts:?}"),
            Location::Socket(path) => format!("{path:?}"),
        };
        format!("{servers} {:?} {}", self.settings.sentinel_master, self.database)
    }

    /// Returns `true` if sentinels are to be spoken to over TLS.
    pub(super) fn sentinels_have_tls(&self) -> bool {
        self.settings.sentinel_master.is_some() && self.settings.sentinel_tls.unwrap_or(self.tls)
    }

    /// Returns `true` if the servers are a cluster.
    ///
    /// # Errors
    ///
    /// If parts of the URL contradict each other.
    pub(super) fn is_cluster(&self) -> Result<bool, BackendError> {
        let settings = &self.settings;
        let several = matches!(&self.location, Location::Hosts(hosts) if hosts.len() > 1);
        let socket = matches!(&self.location, Location::Socket(_));
        let has_sentinels = settings.sentinel_master.is_some();
        let is_cluster = settings.cluster.unwrap_or(several && !has_sentinels);
        let is_of_sentinels_alone = settings.sentinel_credentials != CredentialSettings::default()
            || settings.sentinel_tls.is_some()
            || settings.sentinel_server_name.is_some();
        let reason = if has_sentinels && is_cluster {
            "`sentinel_master` and `cluster=true` contradict each other: give one of them"
        } else if several && !is_cluster && !has_sentinels {
            "several hosts are a cluster, or sentinels if `sentinel_master` is given; with \
             `cluster=false` give one host"
        } else if socket && (is_cluster || has_sentinels) {
            "a Unix socket is a single server: leave `cluster` and `sentinel_master` out"
        } else if is_of_sentinels_alone && !has_sentinels {
            "there are settings of sentinels (`sentinel_…`), but no name of a master: add \
             `sentinel_master`"
        } else if settings.sentinel_credentials.lack_password() {
            "a user of sentinels comes with a password: add `sentinel_password`"
        } else if settings.credentials.lack_password() {
            "a user name comes with a password: `redis://user:password@host`; for a password alone, \
             write `redis://:password@host`. A file may contain it: `password_file`"
        } else if is_cluster && self.database != 0 {
            "a cluster has only database 0: leave the number out"
        } else {
            self.check_tls()?;
            return Ok(is_cluster);
        };
        Err(BackendError::not_executed(reason))
    }

    /// Returns an error if there are settings of TLS that no connection would use.
    fn check_tls(&self) -> Result<(), BackendError> {
        let TlsSettings { server_name, .. } = &self.settings.tls;
        let of_both = TlsSettings { server_name: None, ..self.settings.tls.clone() };
        let of_both = of_both != TlsSettings::default();
        let reason = if of_both && !self.tls && !self.sentinels_have_tls() {
            "a certificate authority and a client certificate are of use only with TLS: write \
             `rediss://`"
        } else if server_name.is_some() && !self.tls {
            "the name in the server's certificate (`server_name`) is of use only with TLS: write \
             `rediss://`"
        } else if self.settings.sentinel_server_name.is_some() && !self.sentinels_have_tls() {
            "the name in the sentinels' certificates (`sentinel_server_name`) is of use only with \
             TLS: add `sentinel_tls=true`"
        } else {
            return Ok(());
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
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.strip_prefix("db=") {
            Some(number) if matches!(url.location, Location::Socket(_)) => {
                url.database = database(number)?;
            }
            Some(_) => {
                return Err("the database number stands behind the hosts: `redis://host/1`".into());
            }
            None => url.settings.read_parameter(parameter)?,
        }
    }
    Ok(url)
}

impl RedisUrl {
    /// Stores the credentials before `@`, and returns the text after it.
    fn take_credentials<'a>(&mut self, authority: &'a str) -> Result<&'a str, String> {
        let Some((credentials, hosts)) = authority.rsplit_once('@') else { return Ok(authority) };
        let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (username, password) = (given(username)?, given(password)?);
        self.settings.credentials = CredentialSettings {
            username: username.map(Secret::Text),
            password: password.map(Secret::Text),
        };
        Ok(hosts)
    }
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
        Err(_) => Err(format!("`{}` is not the number of a database", shown(text))),
    }
}

#[cfg(test)]
mod tests;
