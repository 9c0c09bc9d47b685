//! The settings of a backend: those that the parameters of a URL and the methods of the builder have
//! in common.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::credentials::{CredentialSettings, Secret};
use super::tls::{Pem, TlsSettings};
use crate::without_secrets::shown;
use crate::{duration_text, suggest};

/// The parameters of a URL, apart from `db`.
const PARAMETERS: [&str; 18] = [
    "sentinel_master",
    "sentinel_username",
    "sentinel_password",
    "sentinel_username_file",
    "sentinel_password_file",
    "sentinel_tls",
    "sentinel_server_name",
    "username_file",
    "password_file",
    "ca_file",
    "client_certificate_file",
    "client_key_file",
    "server_name",
    "key_prefix",
    "cluster",
    "pool_size",
    "max_age",
    "deadline",
];

/// Settings that are not given are `None`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct RedisSettings {
    pub(super) credentials: CredentialSettings,
    /// TLS of the servers. Sentinels have the same authority and client certificate.
    pub(super) tls: TlsSettings,
    pub(super) sentinel_master: Option<String>,
    pub(super) sentinel_credentials: CredentialSettings,
    /// `true` to speak to sentinels over TLS; by default they are spoken to like the servers.
    pub(super) sentinel_tls: Option<bool>,
    pub(super) sentinel_server_name: Option<String>,
    pub(super) key_prefix: Option<String>,
    pub(super) cluster: Option<bool>,
    pub(super) pool_size: Option<usize>,
    /// The age at which a connection is replaced.
    pub(super) max_age: Option<Duration>,
    pub(super) deadline: Option<Duration>,
}

impl RedisSettings {
    /// Returns these settings, and for those that are not given the ones of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            credentials: self.credentials.or(other.credentials),
            tls: self.tls.or(other.tls),
            sentinel_master: self.sentinel_master.or(other.sentinel_master),
            sentinel_credentials: self.sentinel_credentials.or(other.sentinel_credentials),
            sentinel_tls: self.sentinel_tls.or(other.sentinel_tls),
            sentinel_server_name: self.sentinel_server_name.or(other.sentinel_server_name),
            key_prefix: self.key_prefix.or(other.key_prefix),
            cluster: self.cluster.or(other.cluster),
            pool_size: self.pool_size.or(other.pool_size),
            max_age: self.max_age.or(other.max_age),
            deadline: self.deadline.or(other.deadline),
        }
    }

    /// Returns the settings of TLS for sentinels.
    pub(super) fn tls_of_sentinels(&self) -> TlsSettings {
        TlsSettings { server_name: self.sentinel_server_name.clone(), ..self.tls.clone() }
    }

    /// Reads one parameter of a URL, as it stands there.
    pub(super) fn read_parameter(&mut self, parameter: &str) -> Result<(), String> {
        // Names, passwords and paths: a `+` in them stands for itself.
        if let Some((name, text)) = parameter.split_once('=')
            && self.take_text(name, text)?
        {
            return Ok(());
        }
        for (name, value) in form_urlencoded::parse(parameter.as_bytes()) {
            self.take_word(&name, &value)?;
        }
        Ok(())
    }

    /// Takes a parameter whose value is any text. Returns `false` if there is none of this name.
    fn take_text(&mut self, name: &str, text: &str) -> Result<bool, String> {
        let secret = match name {
            "sentinel_username" | "sentinel_username_file" => {
                &mut self.sentinel_credentials.username
            }
            "sentinel_password" | "sentinel_password_file" => {
                &mut self.sentinel_credentials.password
            }
            "username_file" => &mut self.credentials.username,
            "password_file" => &mut self.credentials.password,
            _ => return self.take_name(name, text),
        };
        let value = match name.ends_with("_file") {
            true => Some(Secret::File(required(name, "the path of a file", text)?.into())),
            false => given(text)?.map(Secret::Text),
        };
        if secret.is_some() && value.is_some() {
            // The name of the other one is not known here, as it may stand before `@`.
            return Err(format!(
                "`{name}` is given beside another user or password of the same kind: leave one of \
                 the two out"
            ));
        }
        *secret = value;
        Ok(true)
    }

    fn take_name(&mut self, name: &str, text: &str) -> Result<bool, String> {
        let pem = |text| {
            Ok::<_, String>(Some(Pem::File(required(name, "the path of a file", text)?.into())))
        };
        match name {
            "ca_file" => self.tls.authority = pem(text)?,
            "client_certificate_file" => self.tls.client_certificate = pem(text)?,
            "client_key_file" => self.tls.client_key = pem(text)?,
            "server_name" => self.tls.server_name = Some(required(name, "a name", text)?),
            "sentinel_server_name" => {
                self.sentinel_server_name = Some(required(name, "a name", text)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_word(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| Err(format!("`{name}` is {expected}, not `{}`", shown(value)));
        let boolean = || match value {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => wrong("`true` or `false`").map(|()| None),
        };
        match name {
            "sentinel_master" if value.is_empty() => return wrong("a name"),
            "sentinel_master" => self.sentinel_master = Some(value.to_owned()),
            "sentinel_tls" => self.sentinel_tls = boolean()?,
            "key_prefix" => self.key_prefix = Some(value.to_owned()),
            "cluster" => self.cluster = boolean()?,
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
            // The text behind an `&` that is not percent-encoded is a part of the password.
            _ if self.sentinel_credentials.password.is_some() => {
                return Err("it has no such parameter as one behind `sentinel_password`; \
                            percent-encode an `&` of the password: `%26`"
                    .into());
            }
            unknown => {
                let hint = suggest::hint(unknown, PARAMETERS, "it has none");
                return Err(format!("it has no parameter `{}`: {hint}", shown(unknown)));
            }
        }
        Ok(())
    }
}

/// Decodes a text that must not be empty.
fn required(name: &str, expected: &str, text: &str) -> Result<String, String> {
    given(text)?.ok_or_else(|| format!("`{name}` is {expected}, and is empty"))
}

/// Decodes a text. An empty one is not given.
pub(super) fn given(text: &str) -> Result<Option<String>, String> {
    Ok(Some(decode(text)?).filter(|text| !text.is_empty()))
}

pub(super) fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| {
        "a `%` does not stand for text: write `%25` for one that stands for itself".to_owned()
    })
}
