//! The settings of a configuration. The fields have the same names as the keys.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::ban::BanSettings;
use super::value::{ConfigDuration, ConfigPeriod, Keyword};
use crate::overrides::written_quota;
use crate::{Algorithm, CircuitBreaker, LocalTier, OnError, Override};

/// The key of an invalid setting, and the reason why its value is invalid.
pub(super) type InvalidSetting = (String, String);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) on_error: Option<Keyword<OnError>>,
    pub(super) instances: Option<u32>,
    pub(super) backend: BackendSettings,
    pub(super) breaker: BreakerSettings,
    pub(super) local_tier: LocalTierSettings,
    #[cfg(feature = "axum")]
    pub(super) http: HttpSettings,
    pub(super) policies: BTreeMap<String, PolicySettings>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BackendSettings {
    pub(super) url: Option<String>,
    pub(super) deadline: Option<ConfigDuration>,
    pub(super) max_keys: Option<usize>,
    pub(super) max_age: Option<ConfigDuration>,
    pub(super) username_file: Option<PathBuf>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_certificate_file: Option<PathBuf>,
    pub(super) client_key_file: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    pub(super) sentinel_username_file: Option<PathBuf>,
    pub(super) sentinel_password_file: Option<PathBuf>,
    pub(super) sentinel_tls: Option<bool>,
    pub(super) sentinel_server_name: Option<String>,
}

impl BackendSettings {
    /// Returns the files that are given, with their keys.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let files = [
            ("username_file", &self.username_file),
            ("password_file", &self.password_file),
            ("ca_file", &self.ca_file),
            ("client_certificate_file", &self.client_certificate_file),
            ("client_key_file", &self.client_key_file),
            ("sentinel_username_file", &self.sentinel_username_file),
            ("sentinel_password_file", &self.sentinel_password_file),
        ];
        files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?)))
    }

    /// Returns the key of a setting that is of use only with a URL; `None` if none is given.
    pub(super) fn key_for_url(&self) -> Option<&'static str> {
        let names = [
            ("max_age", self.max_age.is_some()),
            ("server_name", self.server_name.is_some()),
            ("sentinel_tls", self.sentinel_tls.is_some()),
            ("sentinel_server_name", self.sentinel_server_name.is_some()),
        ];
        let name = names.into_iter().find_map(|(key, is_given)| is_given.then_some(key));
        self.files().next().map(|(key, _)| key).or(name)
    }

    /// Adds these settings to those of the URL.
    #[cfg(feature = "redis")]
    pub(super) fn redis(&self, url: &str) -> crate::backend::RedisBackendBuilder {
        let mut builder = crate::RedisBackend::builder(url);
        for (key, file) in self.files() {
            builder = match key {
                "username_file" => builder.username_file(file),
                "password_file" => builder.password_file(file),
                "ca_file" => builder.ca_file(file),
                "client_certificate_file" => builder.client_certificate_file(file),
                "client_key_file" => builder.client_key_file(file),
                "sentinel_username_file" => builder.sentinel_username_file(file),
                _ => builder.sentinel_password_file(file),
            };
        }
        if let Some(ConfigDuration(age)) = self.max_age {
            builder = builder.max_age(age);
        }
        if let Some(name) = &self.server_name {
            builder = builder.server_name(name);
        }
        if let Some(tls) = self.sentinel_tls {
            builder = builder.sentinel_tls(tls);
        }
        if let Some(name) = &self.sentinel_server_name {
            builder = builder.sentinel_server_name(name);
        }
        builder
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BreakerSettings {
    enabled: Option<bool>,
    failure_threshold: Option<u32>,
    reset_timeout: Option<ConfigDuration>,
    max_reset_timeout: Option<ConfigDuration>,
}

impl BreakerSettings {
    /// Returns the circuit breaker, or `None` if it is switched off.
    pub(super) fn breaker(&self) -> Result<Option<CircuitBreaker>, InvalidSetting> {
        let Self { enabled, failure_threshold, reset_timeout, max_reset_timeout } = *self;
        let mut breaker = CircuitBreaker::new();
        if let Some(failures) = failure_threshold {
            let failures = at_least_one(failures, "breaker.failure_threshold")?;
            breaker = breaker.failure_threshold(failures);
        }
        if let Some(ConfigDuration(timeout)) = reset_timeout {
            breaker = breaker.reset_timeout(at_least_ms(timeout, "breaker.reset_timeout")?);
        }
        if let Some(ConfigDuration(timeout)) = max_reset_timeout {
            let key = "breaker.max_reset_timeout";
            if reset_timeout.is_some_and(|ConfigDuration(first)| timeout < first) {
                let reason = "it is shorter than `reset_timeout`: raise it, or lower that";
                return Err((key.to_owned(), reason.to_owned()));
            }
            breaker = breaker.max_reset_timeout(at_least_ms(timeout, key)?);
        }
        Ok(enabled.unwrap_or(true).then_some(breaker))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LocalTierSettings {
    max_age: Option<ConfigDuration>,
    max_keys: Option<usize>,
    lease: Option<u32>,
    hold: Option<ConfigDuration>,
}

impl LocalTierSettings {
    pub(super) fn tier(&self) -> Result<LocalTier, InvalidSetting> {
        let Self { max_age, max_keys, lease, hold } = *self;
        let mut tier = LocalTier::default();
        if let Some(ConfigDuration(max_age)) = max_age {
            tier = tier.max_age(max_age);
        }
        if let Some(keys) = max_keys {
            tier = tier.max_keys(at_least_one(keys, "local_tier.max_keys")?);
        }
        if let Some(lease) = lease {
            tier = tier.lease(lease);
        }
        if let Some(ConfigDuration(hold)) = hold {
            tier = tier.hold(at_least_ms(hold, "local_tier.hold")?);
        }
        Ok(tier)
    }
}

#[cfg(feature = "axum")]
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSettings {
    trusted_proxies: Option<Vec<String>>,
    forwarded_header: Option<Keyword<crate::key::ForwardedHeader>>,
    client_header: Option<String>,
    nat64_prefixes: Option<Vec<String>>,
    ipv6_prefix: Option<u8>,
    pepper: Option<String>,
    hash_subjects: Option<bool>,
    headers: Option<Keyword<crate::response::HeaderStyle>>,
    legacy_reset: Option<Keyword<crate::response::LegacyReset>>,
    on_missing_key: Option<Keyword<crate::key::OnMissingKey>>,
}

#[cfg(feature = "axum")]
impl HttpSettings {
    pub(super) fn options(&self) -> Result<crate::HttpOptions, InvalidSetting> {
        let mut options = crate::HttpOptions::new();
        let wrong = |key: &str, error: crate::response::HttpOptionsError| {
            (key.to_owned(), error.to_string())
        };
        if let Some(proxies) = &self.trusted_proxies {
            options = options
                .trusted_proxies(proxies)
                .map_err(|error| wrong("http.trusted_proxies", error))?;
        }
        if let Some(Keyword(header)) = self.forwarded_header {
            options = options.forwarded_header(header);
        }
        if let Some(name) = &self.client_header {
            let key = "http.client_header";
            if self.forwarded_header.is_some() {
                let reason = "it is read instead of `forwarded_header`: remove one of the two";
                return Err((key.to_owned(), reason.to_owned()));
            }
            options = options.client_header(name).map_err(|error| wrong(key, error))?;
        }
        if let Some(prefixes) = &self.nat64_prefixes {
            options = options
                .nat64_prefixes(prefixes)
                .map_err(|error| wrong("http.nat64_prefixes", error))?;
        }
        if let Some(bits) = self.ipv6_prefix {
            options =
                options.ipv6_prefix(bits).map_err(|error| wrong("http.ipv6_prefix", error))?;
        }
        if let Some(pepper) = &self.pepper {
            options = options.pepper(pepper).map_err(|error| wrong("http.pepper", error))?;
        }
        if let Some(on) = self.hash_subjects {
            options = options.hash_subjects(on);
        }
        if let Some(Keyword(style)) = self.headers {
            options = options.headers(style);
        }
        if let Some(Keyword(reset)) = self.legacy_reset {
            options = options.legacy_reset(reset);
        }
        if let Some(Keyword(mode)) = self.on_missing_key {
            options = options.on_missing_key(mode);
        }
        Ok(options)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicySettings {
    limit: Option<u32>,
    per: Option<ConfigPeriod>,
    burst: Option<u32>,
    quotas: Option<Vec<QuotaSettings>>,
    algorithm: Option<Keyword<Algorithm>>,
    shadow: Option<bool>,
    on_error: Option<Keyword<OnError>>,
    enabled: Option<bool>,
    block: Option<bool>,
    ban: Option<BanSettings>,
    in_flight: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaSettings {
    limit: u32,
    per: ConfigPeriod,
    burst: Option<u32>,
}

impl PolicySettings {
    /// Returns the override that these settings describe. `name` is the policy's name, for
    /// messages.
    pub(super) fn changes(&self, name: &str) -> Result<Override, InvalidSetting> {
        let mut changes = Override::new();
        if let Some(limit) = self.limit {
            changes = changes.limit(limit);
        }
        if let Some(ConfigPeriod(per)) = &self.per {
            changes = per.set(changes);
        }
        if let Some(burst) = self.burst {
            changes = changes.burst(burst);
        }
        if let Some(quotas) = &self.quotas {
            let mut all = Vec::new();
            for (index, QuotaSettings { limit, per: ConfigPeriod(per), burst }) in
                quotas.iter().enumerate()
            {
                let quota = written_quota(*limit, per, *burst)
                    .map_err(|error| (format!("policies.{name:?}.quotas[{index}]"), error))?;
                all.push(quota);
            }
            changes = changes.quotas(all);
        }
        if let Some(Keyword(algorithm)) = self.algorithm {
            changes = changes.algorithm(algorithm);
        }
        if let Some(shadow) = self.shadow {
            changes = changes.shadow(shadow);
        }
        if let Some(Keyword(mode)) = self.on_error {
            changes = changes.on_error(mode);
        }
        if let Some(enabled) = self.enabled {
            changes = changes.enabled(enabled);
        }
        if let Some(block) = self.block {
            changes = changes.block(block);
        }
        if let Some(ban) = self.ban {
            let rule = ban.rule().map_err(|(part, error)| {
                (format!("policies.{name:?}.ban.{part}"), error.to_string())
            })?;
            changes = changes.ban(rule);
        }
        if let Some(limit) = self.in_flight {
            changes = changes.in_flight(limit);
        }
        Ok(changes)
    }
}

/// Returns the number, or an error if it is 0. (Builders raise 0 to 1 silently. In a configuration,
/// 0 is reported as a mistake.)
pub(super) fn at_least_one<N: PartialEq + From<bool>>(
    number: N,
    key: &str,
) -> Result<N, InvalidSetting> {
    if number == N::from(false) {
        return Err((key.to_owned(), "it must be at least 1".to_owned()));
    }
    Ok(number)
}

/// Returns the duration, or an error if it is shorter than a millisecond.
pub(super) fn at_least_ms(span: Duration, key: &str) -> Result<Duration, InvalidSetting> {
    if span < Duration::from_millis(1) {
        return Err((key.to_owned(), "it must be at least 1 ms: write \"1ms\"".to_owned()));
    }
    Ok(span)
}
