//! The user and password with which a connection begins, and their sources.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::with_causes;
use crate::without_secrets::shown_path;

/// Timeout for reading files, and for a function of the program.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The user and password with which a connection to Redis begins, as a function returns them that is
/// given to [`RedisBackendBuilder::credentials`](crate::backend::RedisBackendBuilder::credentials).
/// Its `Debug` text contains neither.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisCredentials {
    username: Option<String>,
    password: Option<String>,
}

impl RedisCredentials {
    /// Creates the credentials of an ACL user.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: Some(username.into()), password: Some(password.into()) }
    }

    /// Creates the credentials of the default user, who has a password alone.
    #[must_use]
    pub fn password(password: impl Into<String>) -> Self {
        Self { username: None, password: Some(password.into()) }
    }

    pub(super) fn get_username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    pub(super) fn get_password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

impl fmt::Debug for RedisCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCredentials").finish_non_exhaustive()
    }
}

/// A user name or a password: its text, or the file that contains it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Text(String),
    File(PathBuf),
}

impl Secret {
    /// Returns the text. A file is read anew, because a deployment replaces its content; line breaks
    /// at its end do not count.
    fn read(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error));
                let text = text?.trim_end_matches(['\r', '\n']).to_owned();
                if text.is_empty() {
                    return Err(format!("the file {} is empty", shown_path(path)));
                }
                Ok(text)
            }
        }
    }
}

/// Returns the text of an error of reading a file. It repeats nothing of the file.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read the file {}: {error}", shown_path(path))
}

/// A user and a password as settings give them. Parts that are not given are `None`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct CredentialSettings {
    pub(super) username: Option<Secret>,
    pub(super) password: Option<Secret>,
}

impl CredentialSettings {
    /// Returns `true` if there is a user without a password.
    pub(super) fn lack_password(&self) -> bool {
        self.username.is_some() && self.password.is_none()
    }

    /// Returns these settings, and for parts that are not given those of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            username: self.username.or(other.username),
            password: self.password.or(other.password),
        }
    }

    /// Reads the files.
    pub(super) fn read(&self) -> Result<RedisCredentials, String> {
        let read = |secret: &Option<Secret>| secret.as_ref().map(Secret::read).transpose();
        Ok(RedisCredentials { username: read(&self.username)?, password: read(&self.password)? })
    }

    fn have_files(&self) -> bool {
        let is_file = |secret: &Option<Secret>| matches!(secret, Some(Secret::File(_)));
        is_file(&self.username) || is_file(&self.password)
    }
}

type Provided = Result<RedisCredentials, Box<dyn Error + Send + Sync>>;

/// A function of the program that returns credentials.
pub(super) type Provider =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Provided> + Send>> + Send + Sync>;

/// The source that is asked for the credentials of each new connection.
#[derive(Clone)]
pub(super) enum CredentialSource {
    Settings(CredentialSettings),
    Provider(Provider),
}

impl CredentialSource {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Settings(settings) if *settings == CredentialSettings::default())
    }

    /// Returns the present credentials.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or the program's function fails.
    pub(super) async fn get(&self) -> Result<RedisCredentials, String> {
        // Both run in a task: reading a file may block, and a function of the program may panic.
        // A task set stops it if nobody waits for it any more.
        let mut tasks = JoinSet::new();
        match self {
            Self::Settings(settings) if !settings.have_files() => return settings.read(),
            Self::Settings(settings) => {
                let settings = settings.clone();
                tasks.spawn_blocking(move || settings.read());
            }
            Self::Provider(provider) => {
                let provider = Arc::clone(provider);
                tasks.spawn(async move {
                    let provided = provider().await;
                    provided.map_err(|error| {
                        format!("the program has no credentials: {}", with_causes(&*error))
                    })
                });
            }
        }
        match timeout(TIMEOUT, tasks.join_next()).await {
            Ok(Some(Ok(credentials))) => credentials,
            Ok(_) => Err("the program's function for credentials panicked".to_owned()),
            Err(_) => Err(format!("there are no credentials within {TIMEOUT:?}")),
        }
    }
}
