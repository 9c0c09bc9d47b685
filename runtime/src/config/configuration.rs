//! The configuration as it was loaded, and the limiter that it describes.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::settings::{BackendSettings, InvalidSetting, Settings, at_least_ms, at_least_one};
use super::source::{LoadedSettings, Variable, variables};
use super::value::{ConfigDuration, Keyword};
use crate::without_secrets::shown_path;
use crate::{Limiter, LimiterBuilder, MemoryBackend, OnError, Overrides, Policy};

#[doc = include_str!("../docs/configuration.md")]
#[derive(Clone)]
pub struct Config {
    pub(super) path: Option<PathBuf>,
    /// The text of the file. A watcher compares it with the file's later contents to detect
    /// changes.
    pub(super) text: String,
    pub(super) variables: Vec<Variable>,
    loaded: LoadedSettings,
    declared: Vec<Policy>,
}

impl Config {
    /// Loads the file at `path` and the environment variables, which take precedence. The file is
    /// in TOML, JSON or YAML, depending on its extension.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or contains unknown keys or invalid values, or the variables do.
    /// The names of policies are checked later, by [`Limiter::from_config`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, std::env::vars_os().filter_map(as_text))
    }

    /// Loads the file at `path`, and takes `environment` in place of the process's environment
    /// variables. Otherwise it does the same as [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// See [`load`](Self::load).
    pub fn load_with(
        path: impl AsRef<Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::read(Some(path.as_ref()), variables(environment.into_iter()))
    }

    /// Loads the configuration from the environment variables alone.
    ///
    /// # Errors
    ///
    /// If the variables contain unknown keys or invalid values.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(None, variables(std::env::vars_os().filter_map(as_text)))
    }

    fn read(path: Option<&Path>, variables: Vec<Variable>) -> Result<Self, ConfigError> {
        let text = path.map_or(Ok(String::new()), text_of)?;
        Self::of_text(path, text, variables)
    }

    /// Reads the configuration from the text of a file and the variables.
    pub(super) fn of_text(
        path: Option<&Path>,
        text: String,
        variables: Vec<Variable>,
    ) -> Result<Self, ConfigError> {
        let loaded = LoadedSettings::read(path.map(|path| (path, text.as_str())), &variables)?;
        let path = path.map(Path::to_path_buf);
        let config = Self { path, text, variables, loaded, declared: Vec::new() };
        config.builder()?;
        config.overrides()?;
        Ok(config)
    }

    /// Declares a policy that no annotation declares; see [`LimiterBuilder::declare`].
    #[must_use]
    pub fn declare(mut self, policy: Policy) -> Self {
        self.declared.push(policy);
        self
    }

    /// Returns a builder with everything configured except for the overrides, so that the program
    /// can add settings of its own. The options for HTTP that the program sets are added to those of
    /// the configuration ([`LimiterBuilder::http`]). Any other setting of the program replaces the
    /// configured one.
    ///
    /// ```no_run
    /// use tollgate::{Config, SystemClock};
    ///
    /// let config = Config::load("tollgate.toml")?;
    /// let limiter = config.builder()?.clock(SystemClock::new()).build();
    /// limiter.set_overrides(config.overrides()?)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If settings contradict each other.
    pub fn builder(&self) -> Result<LimiterBuilder, ConfigError> {
        self.try_builder().map_err(|invalid| self.invalid(invalid))
    }

    /// Returns the configuration's overrides of policies.
    ///
    /// # Errors
    ///
    /// If one of them has invalid quotas.
    pub fn overrides(&self) -> Result<Overrides, ConfigError> {
        let mut overrides = Overrides::new();
        for (name, policy) in &self.settings().policies {
            let changes = policy.changes(name).map_err(|invalid| self.invalid(invalid))?;
            let key = format!("policies.{name}");
            let place = self.loaded.place(&key).unwrap_or_else(|| self.place());
            overrides = overrides.with(name, changes.read_from(&place));
        }
        Ok(overrides)
    }

    /// Returns the builder of the configured Redis, for tools that look at what is stored there;
    /// `None` if no URL is configured.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis(&self) -> Option<crate::backend::RedisBackendBuilder> {
        let backend = &self.settings().backend;
        Some(backend.redis(backend.url.as_deref()?))
    }

    /// Returns the configured options for HTTP, by which subjects have their text.
    ///
    /// # Errors
    ///
    /// If a setting is invalid, which [`load`](Self::load) tells, too.
    #[cfg(feature = "axum")]
    pub fn http(&self) -> Result<crate::HttpOptions, ConfigError> {
        self.settings().http.options().map_err(|invalid| self.invalid(invalid))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    fn try_builder(&self) -> Result<LimiterBuilder, InvalidSetting> {
        let settings = self.settings();
        let mut builder = self.backend()?;
        if let Some(ConfigDuration(deadline)) = settings.backend.deadline {
            builder = builder.deadline(at_least_ms(deadline, "backend.deadline")?);
        }
        builder = builder.breaker(settings.breaker.breaker()?);
        builder = builder.local_tier(settings.local_tier.tier()?);
        if let Some(instances) = settings.instances {
            builder = builder.instances(at_least_one(instances, "instances")?);
        }
        if let Some(Keyword(mode)) = settings.on_error {
            let is_remote = settings.backend.url.is_some();
            if mode == OnError::Local && settings.instances.is_none() && is_remote {
                let reason = "`local` divides the limits by the number of processes: say in \
                              `instances` how many there are";
                return Err(("on_error".to_owned(), reason.to_owned()));
            }
            builder = builder.on_error(mode);
        }
        #[cfg(feature = "axum")]
        {
            builder = builder.configured_http(settings.http.options()?);
        }
        Ok(self.declared.iter().cloned().fold(builder, LimiterBuilder::declare))
    }

    fn backend(&self) -> Result<LimiterBuilder, InvalidSetting> {
        let backend = &self.settings().backend;
        if let Some(url) = &backend.url {
            if backend.max_keys.is_some() {
                let reason = "it bounds the counters in this process's memory, but they are at \
                              `backend.url`: leave one of them out";
                return Err(("backend.max_keys".to_owned(), reason.to_owned()));
            }
            if let Some(ConfigDuration(age)) = backend.max_age {
                at_least_ms(age, "backend.max_age")?;
            }
            return redis(backend, url).map_err(|reason| {
                // The reason names the file that cannot be used.
                let is_named = |path: &Path| reason.contains(&shown_path(path));
                let file = backend.files().find(|(_, path)| is_named(path));
                (format!("backend.{}", file.map_or("url", |(key, _)| key)), reason)
            });
        }
        if let Some(key) = backend.key_for_url() {
            let reason = "it is of use only with Redis: set `backend.url`, too, or leave it out";
            return Err((format!("backend.{key}"), reason.to_owned()));
        }
        let mut memory = MemoryBackend::builder();
        if let Some(keys) = backend.max_keys {
            memory = memory.max_keys(at_least_one(keys, "backend.max_keys")?);
        }
        Ok(Limiter::builder(memory.build()))
    }

    fn invalid(&self, (key, reason): InvalidSetting) -> ConfigError {
        let place = self.loaded.place(&key).unwrap_or_else(|| self.place());
        ConfigError::new(place, Some(key), reason)
    }

    /// Returns the name of the source for messages about the complete configuration: the path of
    /// the file, or "the environment" if there is no file.
    pub(super) fn place(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "the environment".to_owned(),
        }
    }

    /// Replaces the limiter's overrides by those of the configuration.
    pub(super) fn apply(&self, limiter: &Limiter) -> Result<(), ConfigError> {
        limiter
            .set_overrides(self.overrides()?)
            .map_err(|error| ConfigError::of_overrides(&self.place(), &error))
    }
}

/// The error codes of Unix for a process, and for a system, that has too many files open.
const TOO_MANY_FILES: [i32; 2] = [24, 23];

/// Reads a file.
pub(super) fn text_of(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// Returns the error of a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let too_many = error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code));
    let hint = if cfg!(unix) && too_many {
        ": too many files and connections are open; raise the limit (`ulimit -n`), or find out which \
         are never closed"
    } else {
        ""
    };
    let reason = format!("cannot read it: {error}{hint}");
    ConfigError::new(path.display().to_string(), None, reason)
}

#[cfg(feature = "redis")]
fn redis(settings: &BackendSettings, url: &str) -> Result<LimiterBuilder, String> {
    let backend = settings.redis(url).build().map_err(|error| error.reason())?;
    Ok(Limiter::builder(backend))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &BackendSettings, _: &str) -> Result<LimiterBuilder, String> {
    Err("this program was built without Redis: add the feature `redis` of tollgate".to_owned())
}

/// Converts a variable to text. Returns `None` if it is not valid Unicode, because then it cannot
/// be a setting.
fn as_text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<Variable> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

impl Limiter {
    /// Creates the configured limiter, with the configuration's overrides.
    ///
    /// # Errors
    ///
    /// If an override names a policy that the program does not declare, or makes a policy invalid.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let limiter = config.builder()?.build();
        config.apply(&limiter)?;
        Ok(limiter)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is left out, because it may contain a password.
        f.debug_struct("Config").field("path", &self.path).finish_non_exhaustive()
    }
}
