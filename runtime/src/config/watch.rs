//! Follows the configuration file while the program runs.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::configuration::{Config, text_of};
use super::error::ConfigError;
use crate::Limiter;

/// The time between two looks at the file. The system's notifications of changes are not used:
/// they are of single folders, so a link on the way to the file could be repointed unnoticed; they
/// do not exist on network file systems; and systems run out of them.
const INTERVAL: Duration = Duration::from_millis(500);
/// The length of one pause. A file that has changed is read after a pause without further changes,
/// because a program may write it in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// The largest number of pauses. After these the file is read even if it still changes.
const MAX_QUIETS: u32 = 10;

/// Applies changes of a configuration file to a limiter's overrides until the watcher is dropped.
/// The overrides that were applied last then stay in effect.
#[derive(Debug)]
#[must_use = "when it is dropped, the file is not watched any more"]
pub struct ConfigWatcher {
    broken: Arc<Mutex<Option<ConfigError>>>,
    /// Its end ends the thread. Nothing is ever sent.
    running: Option<Sender<()>>,
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
    /// editors and the `ConfigMap` mounts of Kubernetes do. The path may lead through links, to the
    /// file or to its folders, each of which may be repointed. The file is read twice a second, so it
    /// may be on any file system.
    ///
    /// # Errors
    ///
    /// If the configuration has no file, or the system has no thread left.
    pub fn watch(self, limiter: Limiter) -> Result<ConfigWatcher, ConfigError> {
        let (broken, (running, stopped)) = (Arc::default(), mpsc::channel());
        let follower = Follower::new(self, limiter, Arc::clone(&broken))?;
        let place = follower.path.display().to_string();
        let thread = thread::Builder::new().name("tollgate-config".to_owned());
        match thread.spawn(move || follower.follow(&stopped)) {
            Ok(thread) => {
                Ok(ConfigWatcher { broken, running: Some(running), thread: Some(thread) })
            }
            Err(error) => {
                Err(ConfigError::new(place, None, format!("cannot watch it: no thread: {error}")))
            }
        }
    }
}

impl Drop for ConfigWatcher {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Follower {
    path: PathBuf,
    /// The text that was last found in the file, or the reason why it could not be read.
    seen: Result<String, ConfigError>,
    /// The configuration that was last applied.
    config: Config,
    limiter: Limiter,
    /// The error of the file's present content, or `None` if that was applied. Each error is logged
    /// once.
    broken: Arc<Mutex<Option<ConfigError>>>,
}

impl Follower {
    fn new(
        config: Config,
        limiter: Limiter,
        broken: Arc<Mutex<Option<ConfigError>>>,
    ) -> Result<Self, ConfigError> {
        let Some(path) = config.path.clone() else {
            let reason = "there is no file to watch: use `Config::load`";
            return Err(ConfigError::new(config.place(), None, reason));
        };
        Ok(Self { path, seen: Ok(config.text.clone()), config, limiter, broken })
    }

    fn follow(mut self, stopped: &Receiver<()>) {
        let wait = |span| stopped.recv_timeout(span) == Err(RecvTimeoutError::Timeout);
        while self.look(|| wait(QUIET)) && wait(INTERVAL) {}
    }

    /// Reads the file once, and takes its content if that is new. Content that is new is read again
    /// after each `pause`, until it stays the same. Returns `false` if `pause` does, which means that
    /// nobody wants to follow the file any more.
    fn look(&mut self, mut pause: impl FnMut() -> bool) -> bool {
        let mut found = text_of(&self.path);
        if found == self.seen {
            return true;
        }
        for _ in 0..MAX_QUIETS {
            if !pause() {
                return false;
            }
            let again = text_of(&self.path);
            let is_settled = again == found;
            found = again;
            if is_settled {
                break;
            }
        }
        self.seen = found.clone();
        let taken = found.and_then(|text| {
            Config::of_text(Some(&self.path), text, self.config.variables.clone())
        });
        match taken.and_then(|config| self.apply(config)) {
            Ok(()) => *lock(&self.broken) = None,
            Err(error) => self.log_once(error),
        }
        true
    }

    fn apply(&mut self, config: Config) -> Result<(), ConfigError> {
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
        self.config = config;
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

#[cfg(test)]
mod tests;
