//! Configuration: a file, and the environment over it.

mod error;
mod settings;
mod source;
mod value;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};

pub use self::error::ConfigError;
use self::settings::{Settings, Wrong, at_least_ms, at_least_one};
use self::source::{Read, Variable, variables};
use self::value::{Span, Word};
pub use self::watch::ConfigWatcher;
use crate::{Limiter, LimiterBuilder, MemoryBackend, OnError, Overrides, Policy};

#[doc = include_str!("../docs/configuration.md")]
pub struct Config {
    path: Option<PathBuf>,
    /// What the file says, to see whether that has changed.
    text: String,
    variables: Vec<Variable>,
    read: Read,
    declared: Vec<Policy>,
}

impl Config {
    /// The configuration in the file at `path`, TOML, JSON or YAML as its name says, and what the
    /// environment says over it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or says what is not known or cannot be. What policies it may
    /// override is seen by [`Limiter::from_config`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, std::env::vars_os().filter_map(as_text))
    }

    /// As [`load`](Self::load), with variables that are given instead of the environment's.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(
        path: impl AsRef<Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::read(Some(path.as_ref()), variables(environment.into_iter()))
    }

    /// The configuration in the environment alone.
    ///
    /// # Errors
    ///
    /// If it says what is not known or cannot be.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(None, variables(std::env::vars_os().filter_map(as_text)))
    }

    fn read(path: Option<&Path>, variables: Vec<Variable>) -> Result<Self, ConfigError> {
        let mut text = String::new();
        if let Some(path) = path {
            text = std::fs::read_to_string(path).map_err(|error| {
                ConfigError::new(
                    path.display().to_string(),
                    None,
                    format!("cannot read it: {error}"),
                )
            })?;
        }
        let read = Read::of(path.map(|path| (path, text.as_str())), &variables)?;
        let path = path.map(Path::to_path_buf);
        let config = Self { path, text, variables, read, declared: Vec::new() };
        config.builder()?;
        config.overrides()?;
        Ok(config)
    }

    /// Makes known a policy that no annotation declares, as [`LimiterBuilder::declare`] does.
    #[must_use]
    pub fn declare(mut self, policy: Policy) -> Self {
        self.declared.push(policy);
        self
    }

    /// A builder with all that is configured but the overrides, for what is set in the program
    /// besides.
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
    /// If something does not go together.
    pub fn builder(&self) -> Result<LimiterBuilder, ConfigError> {
        self.try_builder().map_err(|wrong| self.wrong(wrong))
    }

    /// What it says of policies.
    ///
    /// # Errors
    ///
    /// If one has quotas that cannot be.
    pub fn overrides(&self) -> Result<Overrides, ConfigError> {
        let mut overrides = Overrides::new();
        for (name, policy) in &self.settings().policies {
            let changes = policy.changes(name).map_err(|wrong| self.wrong(wrong))?;
            overrides = overrides.with(name, changes);
        }
        Ok(overrides)
    }

    fn settings(&self) -> &Settings {
        &self.read.settings
    }

    fn try_builder(&self) -> Result<LimiterBuilder, Wrong> {
        let settings = self.settings();
        let mut builder = self.backend()?;
        if let Some(Span(deadline)) = settings.backend.deadline {
            builder = builder.deadline(at_least_ms(deadline, "backend.deadline")?);
        }
        builder = builder.breaker(settings.breaker.breaker()?);
        builder = builder.local_tier(settings.local_tier.tier()?);
        if let Some(instances) = settings.instances {
            builder = builder.instances(at_least_one(instances, "instances")?);
        }
        if let Some(Word(mode)) = settings.on_error {
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
            builder = builder.http(settings.http.options()?);
        }
        Ok(self.declared.iter().cloned().fold(builder, LimiterBuilder::declare))
    }

    fn backend(&self) -> Result<LimiterBuilder, Wrong> {
        let backend = &self.settings().backend;
        if let Some(url) = &backend.url {
            if backend.max_keys.is_some() {
                let reason = "it bounds the counters in this process's memory, but they are at \
                              `backend.url`: leave one of them out";
                return Err(("backend.max_keys".to_owned(), reason.to_owned()));
            }
            return redis(url).map_err(|reason| ("backend.url".to_owned(), reason));
        }
        let mut memory = MemoryBackend::builder();
        if let Some(keys) = backend.max_keys {
            memory = memory.max_keys(at_least_one(keys, "backend.max_keys")?);
        }
        Ok(Limiter::builder(memory.build()))
    }

    fn wrong(&self, (key, reason): Wrong) -> ConfigError {
        let place = self.read.place(&key).unwrap_or_else(|| self.place());
        ConfigError::new(place, Some(key), reason)
    }

    /// Where it is.
    fn place(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "the environment".to_owned(),
        }
    }

    /// Lets a limiter go by its overrides.
    fn apply(&self, limiter: &Limiter) -> Result<(), ConfigError> {
        limiter
            .set_overrides(self.overrides()?)
            .map_err(|error| ConfigError::of_overrides(&self.place(), &error))
    }
}

#[cfg(feature = "redis")]
fn redis(url: &str) -> Result<LimiterBuilder, String> {
    use std::error::Error as _;

    let backend = crate::RedisBackend::builder(url).build().map_err(|error| {
        let said = error.to_string();
        error.source().map_or(said, ToString::to_string)
    })?;
    Ok(Limiter::builder(backend))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &str) -> Result<LimiterBuilder, String> {
    Err("this program was built without Redis: add the feature `redis` of tollgate".to_owned())
}

/// What is not text is no setting of ours.
fn as_text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<Variable> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

impl Limiter {
    /// The limiter that is configured, with the configuration's overrides.
    ///
    /// # Errors
    ///
    /// If those name a policy that the program does not have, or would make of it what cannot
    /// be.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let limiter = config.builder()?.build();
        config.apply(&limiter)?;
        Ok(limiter)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        f.debug_struct("Config").field("path", &self.path).finish_non_exhaustive()
    }
}
