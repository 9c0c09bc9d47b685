//! Discovery: a URL with one host does not tell if that is a single server or a node of a cluster, so
//! the server is asked when it is first needed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::cluster::Cluster;
use super::connection::CONNECTING;
use super::driver::LazyDriver;
use super::failure::{RequestError, with_last};
use super::mode;
use super::node::Node;
use super::servers::{self, Servers};
use crate::BackendError;
use crate::backend::Gauges;
use crate::stats::{BackendStats, RedisStats, ServerStats};

/// The time between two attempts to ask the server.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Discovery {
    found: OnceLock<Servers>,
    /// The host as a single server, and as a node of a cluster, if the URL does not tell which.
    host: Option<(Arc<Node>, Arc<Cluster>)>,
    /// The failure of the attempt that is under way, for all who wait for it; `None` until then.
    attempt: Mutex<Option<watch::Receiver<Option<BackendError>>>>,
    /// The runtime of the attempts, from the first on.
    driver: LazyDriver,
}

impl Discovery {
    /// Creates the discovery of servers of which the settings tell what they are.
    pub(super) fn told(servers: Servers) -> Arc<Self> {
        Self::new(OnceLock::from(servers), None)
    }

    /// Creates the discovery of a host that is one of the two.
    pub(super) fn of_host(single: Arc<Node>, cluster: Arc<Cluster>) -> Arc<Self> {
        Self::new(OnceLock::new(), Some((single, cluster)))
    }

    fn new(found: OnceLock<Servers>, host: Option<(Arc<Node>, Arc<Cluster>)>) -> Arc<Self> {
        Arc::new(Self { found, host, attempt: Mutex::default(), driver: LazyDriver::default() })
    }

    /// Returns `true` if the server itself has told, or will tell, what it is.
    pub(super) fn is_asked(&self) -> bool {
        self.host.is_some()
    }

    /// Returns the servers as far as they are known: a host that has not been asked yet counts as a
    /// single server.
    pub(super) fn known(&self) -> Option<Servers> {
        let host = || self.host.as_ref().map(|(node, _)| Servers::Single(Arc::clone(node)));
        self.found.get().cloned().or_else(host)
    }

    /// Returns the servers, and asks the host if necessary, until the deadline.
    pub(super) async fn get_by(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<&Servers, BackendError> {
        let mut last = None;
        loop {
            if let Some(servers) = self.found.get() {
                return Ok(servers);
            }
            // The future is boxed, so that the future of each check does not contain it.
            match timeout_at(deadline, Box::pin(self.ask())).await {
                Ok(Ok(servers)) => return Ok(servers),
                Ok(Err(error)) if error.is_lasting() => return Err(error),
                Ok(Err(error)) => last = Some(error),
                Err(_) => return Err(late(last)),
            }
            if timeout_at(deadline, sleep(PAUSE)).await.is_err() {
                return Err(late(last));
            }
        }
    }

    /// Asks the host once.
    pub(super) async fn ask(self: &Arc<Self>) -> Result<&Servers, BackendError> {
        if let Some(servers) = self.found.get() {
            return Ok(servers);
        }
        let mut attempt = self.attempt();
        if let Ok(failure) = attempt.wait_for(Option::is_some).await
            && let Some(failure) = &*failure
        {
            return Err(failure.for_another());
        }
        let gone = || BackendError::not_executed("the runtime that asked the server is gone");
        self.found.get().ok_or_else(gone)
    }

    /// Returns the attempt that is under way, or a new one. It goes on when those who wait for it
    /// have given up, because connecting may take longer than a check.
    fn attempt(self: &Arc<Self>) -> watch::Receiver<Option<BackendError>> {
        let mut current = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = &*current
            && attempt.has_changed().is_ok()
            && attempt.borrow().is_none()
        {
            return attempt.clone();
        }
        let (failed, attempt) = watch::channel(None);
        *current = Some(attempt.clone());
        let driver = match self.driver.get() {
            Ok(driver) => driver,
            Err(failure) => {
                failed.send_replace(Some(RequestError::into_error(failure)));
                return attempt;
            }
        };
        let itself = Arc::clone(self);
        driver.spawn(async move {
            // When it has succeeded, the end of the sender says so.
            if let Err(error) = itself.discover().await {
                failed.send_replace(Some(error));
            }
        });
        attempt
    }

    async fn discover(&self) -> Result<(), BackendError> {
        let Some((single, cluster)) = &self.host else { return Ok(()) };
        // All who wait for this attempt fail by one event.
        let event = single.connection.trouble.begin();
        let is_in_cluster = mode::is_in_cluster(single).await;
        let found = if is_in_cluster.map_err(|error| error.of_event(event))? {
            // The cluster has connections of its own.
            single.close().await;
            Servers::Cluster(Arc::clone(cluster))
        } else {
            Servers::Single(Arc::clone(single))
        };
        // It can only be set already to the same.
        let _ = self.found.set(found);
        Ok(())
    }
}

impl Discovery {
    pub(super) fn stats(&self) -> RedisStats {
        self.known().map(|servers| servers.stats()).unwrap_or_default()
    }
}

/// Returns the error of a check whose time is over before the host has answered. `last` is the last
/// failure while it waited.
fn late(last: Option<BackendError>) -> BackendError {
    let (reason, event) = match last {
        Some(last) => (last.reason(), last.event()),
        None => (CONNECTING.to_owned(), 0),
    };
    let text = with_last("no answer before the deadline", Some(reason));
    BackendError::not_executed(text).of_event(event)
}

/// The statistics of the servers that have been found so far.
pub(super) struct ServerGauges(pub(super) Arc<Discovery>);

impl Gauges for ServerGauges {
    fn read(&self) -> BackendStats {
        BackendStats::Redis(self.0.stats())
    }

    fn ask_servers(&self) -> Pin<Box<dyn Future<Output = Vec<ServerStats>> + Send + '_>> {
        Box::pin(async {
            match self.0.known() {
                Some(servers) => servers::ask_all(&servers).await,
                None => Vec::new(),
            }
        })
    }
}
