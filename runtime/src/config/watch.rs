//! Follows a configuration's file while the program runs.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Config, ConfigError};
use crate::Limiter;

/// A file is looked at when it has been left alone for so long, for it may be written in pieces,
const QUIET: Duration = Duration::from_millis(50);
/// and at the latest after as many times as long.
const MOST_QUIETS: u32 = 10;

/// What the watching thread is told.
enum Told {
    Changed,
    Stop,
}

/// Keeps a limiter's overrides as a file has them. When it is dropped, that ends, and the last
/// ones stay.
#[derive(Debug)]
#[must_use = "when it is dropped, the file is not watched any more"]
pub struct ConfigWatcher {
    broken: Arc<Mutex<Option<ConfigError>>>,
    tell: Sender<Told>,
    thread: Option<JoinHandle<()>>,
}

impl ConfigWatcher {
    /// What is wrong with the file, if it says something else than what is in force.
    #[must_use]
    pub fn error(&self) -> Option<ConfigError> {
        lock(&self.broken).clone()
    }
}

impl Config {
    /// Lets the overrides of `limiter` follow the file from now on, within two seconds. What has
    /// been counted is kept. A file that says what cannot be changes nothing, and an error in
    /// the log says what is wrong with it. What else the file says takes effect when the program
    /// starts anew, as the log says, too.
    ///
    /// It may be rewritten in place or, better, replaced by renaming another one, by an editor or
    /// as Kubernetes replaces what a `ConfigMap` mounts.
    ///
    /// # Errors
    ///
    /// If there is no file, or the system cannot watch its directory.
    pub fn watch(self, limiter: &Limiter) -> Result<ConfigWatcher, ConfigError> {
        let Some(path) = self.path.clone() else {
            let reason = "there is no file to watch: use `Config::load`";
            return Err(ConfigError::new(self.place(), None, reason));
        };
        let cannot = |error: &dyn std::fmt::Display| {
            ConfigError::new(self.place(), None, format!("cannot watch it: {error}"))
        };
        let (tell, told) = mpsc::channel();
        let changed = tell.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // That somebody has read it, as is done here, is of no interest.
                if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                    let _ = changed.send(Told::Changed);
                }
            })
            .map_err(|error| cannot(&error))?;
        for directory in directories(&path) {
            watcher
                .watch(&directory, RecursiveMode::NonRecursive)
                .map_err(|error| cannot(&error))?;
        }
        // It may have changed before it was watched.
        let _ = tell.send(Told::Changed);
        let broken = Arc::default();
        let limiter = limiter.clone();
        let follower = Follower { path, config: self, limiter, broken: Arc::clone(&broken) };
        let thread = thread::Builder::new().name("tollgate-config".to_owned());
        let thread = thread.spawn(move || follower.follow(&told, watcher));
        match thread {
            Ok(thread) => Ok(ConfigWatcher { broken, tell, thread: Some(thread) }),
            Err(error) => Err(ConfigError::new("the configuration", None, error.to_string())),
        }
    }
}

impl Drop for ConfigWatcher {
    fn drop(&mut self) {
        let _ = self.tell.send(Told::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Those in which something happens when the file is replaced: its own, and that of the file that
/// it is a link to.
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
    /// The last good one.
    config: Config,
    limiter: Limiter,
    /// What was wrong since, told once.
    broken: Arc<Mutex<Option<ConfigError>>>,
}

impl Follower {
    fn follow(mut self, told: &Receiver<Told>, mut watcher: RecommendedWatcher) {
        while let Ok(Told::Changed) = told.recv() {
            for _ in 0..MOST_QUIETS {
                match told.recv_timeout(QUIET) {
                    Ok(Told::Changed) => {}
                    Ok(Told::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            self.look();
            // A link may lead elsewhere now; that a directory is gone was no mistake.
            for directory in directories(&self.path) {
                let _ = watcher.watch(&directory, RecursiveMode::NonRecursive);
            }
        }
    }

    fn look(&mut self) {
        let is_broken = lock(&self.broken).is_some();
        match Config::read(Some(&self.path), self.config.variables.clone()) {
            Ok(config) if config.text == self.config.text && !is_broken => {}
            Ok(config) => match self.take(&config) {
                Ok(()) => {
                    self.config = config;
                    *lock(&self.broken) = None;
                }
                Err(error) => self.complain(error),
            },
            Err(error) => self.complain(error),
        }
    }

    fn take(&self, config: &Config) -> Result<(), ConfigError> {
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

    fn complain(&self, error: ConfigError) {
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

/// It is whole whenever the lock is free.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
