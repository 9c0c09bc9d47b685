//! Watches the configuration file while the program runs.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::configuration::Config;
use super::error::ConfigError;
use crate::Limiter;

/// The length of one pause. The file is read after a pause without further changes, because a
/// program may write it in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// The largest number of pauses. After these the file is read even if it still changes.
const MAX_QUIETS: u32 = 10;

/// A message to the watching thread.
enum WatchMessage {
    Changed,
    Stop,
}

/// Applies changes of a configuration file to a limiter's overrides until the watcher is dropped.
/// The overrides that were applied last then stay in effect.
#[derive(Debug)]
#[must_use = "when it is dropped, the file is not watched any more"]
pub struct ConfigWatcher {
    broken: Arc<Mutex<Option<ConfigError>>>,
    messages: Sender<WatchMessage>,
    thread: Option<JoinHandle<()>>,
}

impl ConfigWatcher {
    /// Returns the error if the present content of the file could not be applied; `None` if it was
    /// applied.
    #[must_use]
    pub fn error(&self) -> Option<ConfigError> {
        lock(&self.broken).clone()
    }
}

impl Config {
    /// Watches the file and applies changes of its overrides to `limiter` within two seconds.
    /// Counts are not reset. An invalid file changes nothing, and the error is logged. Changes of
    /// other settings are logged, too, and take effect when the program restarts.
    ///
    /// The file may be rewritten in place. It is better to replace it by renaming another file, as
    /// editors and the `ConfigMap` mounts of Kubernetes do.
    ///
    /// # Errors
    ///
    /// If the configuration has no file, or the system cannot watch its directory.
    pub fn watch(self, limiter: Limiter) -> Result<ConfigWatcher, ConfigError> {
        let Some(path) = self.path.clone() else {
            let reason = "there is no file to watch: use `Config::load`";
            return Err(ConfigError::new(self.place(), None, reason));
        };
        let cannot = |error: &dyn std::fmt::Display| {
            ConfigError::new(self.place(), None, format!("cannot watch it: {error}"))
        };
        let (messages, receiver) = mpsc::channel();
        let changed = messages.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Ignores events about reads of the file, because this watcher reads it, too.
                if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                    let _ = changed.send(WatchMessage::Changed);
                }
            })
            .map_err(|error| cannot(&error))?;
        for directory in directories(&path) {
            watcher
                .watch(&directory, RecursiveMode::NonRecursive)
                .map_err(|error| cannot(&error))?;
        }
        // Makes the thread read the file once, because it may have changed between loading and
        // watching.
        let _ = messages.send(WatchMessage::Changed);
        let broken = Arc::default();
        let follower = Follower { path, config: self, limiter, broken: Arc::clone(&broken) };
        let thread = thread::Builder::new().name("tollgate-config".to_owned());
        let thread = thread.spawn(move || follower.follow(&receiver, watcher));
        match thread {
            Ok(thread) => Ok(ConfigWatcher { broken, messages, thread: Some(thread) }),
            Err(error) => Err(ConfigError::new("the configuration", None, error.to_string())),
        }
    }
}

impl Drop for ConfigWatcher {
    fn drop(&mut self) {
        let _ = self.messages.send(WatchMessage::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns the directories to watch for a replacement of the file: the file's own directory and, if
/// the file is a link, the directory of its target.
fn directories(path: &Path) -> Vec<PathBuf> {
    let of = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut directories = vec![of(path)];
    if let (Ok(target), Ok(own)) = (path.canonicalize(), of(path).canonicalize())
        && of(&target) != own
    {
        directories.push(of(&target));
    }
    directories
}

struct Follower {
    path: PathBuf,
    /// The configuration that was last applied.
    config: Config,
    limiter: Limiter,
    /// The error of the file's present content, or `None` if that was applied. Each error is logged
    /// once.
    broken: Arc<Mutex<Option<ConfigError>>>,
}

impl Follower {
    fn follow(mut self, messages: &Receiver<WatchMessage>, mut watcher: RecommendedWatcher) {
        while let Ok(WatchMessage::Changed) = messages.recv() {
            for _ in 0..MAX_QUIETS {
                match messages.recv_timeout(QUIET) {
                    Ok(WatchMessage::Changed) => {}
                    Ok(WatchMessage::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            self.reload();
            // The file may be a link that has another target now. Errors are ignored, because a
            // directory may no longer exist.
            for directory in directories(&self.path) {
                let _ = watcher.watch(&directory, RecursiveMode::NonRecursive);
            }
        }
    }

    fn reload(&mut self) {
        let is_broken = lock(&self.broken).is_some();
        match Config::read(Some(&self.path), self.config.variables.clone()) {
            Ok(config) if config.text == self.config.text && !is_broken => {}
            Ok(config) => match self.apply(&config) {
                Ok(()) => {
                    self.config = config;
                    *lock(&self.broken) = None;
                }
                Err(error) => self.log_once(error),
            },
            Err(error) => self.log_once(error),
        }
    }

    fn apply(&self, config: &Config) -> Result<(), ConfigError> {
        let (old, new) = (self.config.settings(), config.settings());
        if old.policies != new.policies {
            config.apply(&self.limiter)?;
        }
        let mut others = new.clone();
        others.policies.clone_from(&old.policies);
        if others != *old {
            tracing::warn!(
                file = %self.path.display(),
                "the configuration has changed beside its policies: that takes effect when the \
                 program starts anew"
            );
        }
        Ok(())
    }

    /// Logs the error, unless it is the same as the error that was logged last.
    fn log_once(&self, error: ConfigError) {
        let mut broken = lock(&self.broken);
        if broken.as_ref() != Some(&error) {
            tracing::error!(
                %error,
                "the configuration cannot be taken; the last good one stays in force"
            );
            *broken = Some(error);
        }
    }
}

/// Locks the mutex and ignores poisoning: a panic cannot leave this value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
