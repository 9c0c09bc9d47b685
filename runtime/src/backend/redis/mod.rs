//! Counters in Redis, shared by all processes that use the same servers.
//!
//! The server decides, by the Lua script in the folder `script/`; `script.rs` encodes the calls. On
//! its way an operation passes these files:
//!
//! - `discovery` tells if there is a cluster, and `cluster` finds the `node` that serves its key. A
//!   single server is one node.
//! - If its policy counts by a calendar, it has the `windows` of the `server_time`, as far as this
//!   process knows that. The server's time decides, and if it lacks windows, the operation is asked
//!   once more.
//! - The operation waits as a `request` in the node's `queue`.
//! - The node's `worker` sends many requests as one `batch`, in one round trip, over the shared
//!   `connection`, for which `connector` has a pool. The pool's `manager` makes them by way of
//!   `stream` and `tls`, with the `credentials` of the moment.
//! - A caller that is alone carries out its call itself: `lone_caller` has it as a `direct_call`, an
//!   `exchange` over the connection's `socket`.
//! - All of this but that runs on the thread of `driver`. `trouble` has what it tells the callers.
//! - `preflight` and `rights` look at the servers when the limiter starts.
//! - `stored_keys` lists the keys, named by `key_name`, for tools; `stored_form` reads their form.
//! - `reply` delivers the answers to the callers, and `failure` decides which requests may be sent
//!   again. `answer` says what a reply means.
//!
//! Imports go one way: cluster and worker use the node, and the node its queue and its connection.
//! A node reaches its cluster only through the trait `Router`.

mod address;
mod answer;
mod batch;
mod builder;
mod cluster;
mod connect_options;
mod connection;
mod connector;
mod credentials;
mod direct_call;
mod discovery;
mod driver;
mod exchange;
mod failure;
mod flight;
mod info;
mod key_name;
mod lone_caller;
mod manager;
mod mode;
#[cfg(all(test, shuttle))]
mod models;
mod node;
mod pace;
mod permits;
mod preflight;
mod queue;
mod remedy;
mod reply;
mod request;
mod rights;
mod round_trip;
mod script;
mod sentinel;
mod server_connection;
mod server_time;
mod servers;
mod settings;
mod socket;
mod stored_form;
mod stored_keys;
mod stream;
mod submitted;
mod tls;
mod trouble;
mod url;
mod windows;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::answer::limits_in_flight;
pub use self::builder::RedisBackendBuilder;
use self::cluster::slot_of;
pub use self::credentials::RedisCredentials;
use self::discovery::{Discovery, ServerGauges};
use self::permits::HeldPermits;
use self::request::Request;
use self::script::{Keys, Plan};
use self::server_time::ServerTime;
use self::servers::Servers;
pub use self::stored_form::StoredForm;
pub use self::stored_keys::{StoredKey, StoredKeys, StoredState};
use self::submitted::{Lacking, Received, Submitted};
use self::windows::{AskedWindows, windows_of};
use super::identity::identity_of;
use super::info::BackendInfo;
use super::store::{Answers, BoxFuture, Permits, Store, StoreHandle, StoreOptions};
use super::{Backend, Gauges};
use crate::operation::{Answer, Operation};
use crate::stats::RedisStats;
use crate::verdict::Verdict;
use crate::{BackendError, Check};

/// The number of times that a check is sent with other windows of calendars. More are needed only if
/// the server's clock jumps from one to the next.
const MAX_ROUNDS: u32 = 8;

/// The backend's name in the labels of metrics.
const NAME: &str = "redis";

#[doc = include_str!("../../docs/redis.md")]
pub struct RedisBackend {
    key_prefix: String,
    /// The servers and the database, as the settings name them.
    place: String,
    deadline: Duration,
    servers: Arc<Discovery>,
    permits: Arc<HeldPermits>,
    time: ServerTime,
}

impl RedisBackend {
    /// Creates a backend for the servers that `url` names. It connects on the first check, or when
    /// the limiter is initialized.
    ///
    /// # Errors
    ///
    /// If the URL is invalid; the error explains how to correct it.
    pub async fn from_url(url: &str) -> Result<Self, BackendError> {
        Self::builder(url).build()
    }

    /// Returns a builder, which can set the options that `url` does not contain.
    #[must_use]
    pub fn builder(url: &str) -> RedisBackendBuilder {
        RedisBackendBuilder::new(url)
    }

    /// Returns the statistics of all servers together.
    #[must_use]
    pub fn stats(&self) -> RedisStats {
        self.servers.stats()
    }

    /// Returns the key of an operation's subject.
    fn key(&self, operation: &Operation<'_>) -> Box<[u8]> {
        let Check { policy, subject, .. } = operation.check;
        key_name::of(&self.key_prefix, policy.name(), subject)
    }

    /// Queues an operation at the node that serves its key. If its caller is alone there, begins its
    /// call instead.
    fn submit(&self, way: &Way<'_>, operation: &Operation<'_>) -> Result<Submitted, BackendError> {
        let policy = operation.check.policy;
        if let Some(unsupported) = policy.unsupported() {
            return Err(BackendError::rejected(unsupported.reason));
        }
        let mut plan = Plan::of(operation);
        if policy.has_calendar() {
            plan = plan.with_windows(&windows_of(policy, way.time.believed()));
        }
        self.submit_plan(way, operation, plan)
    }

    fn submit_plan(
        &self,
        way: &Way<'_>,
        operation: &Operation<'_>,
        mut plan: Plan,
    ) -> Result<Submitted, BackendError> {
        let key = self.key(operation);
        let (node, slot) = way.servers.serving(&key)?;
        let mut keys = Keys { counters: key, permits: None };
        let mut taking = None;
        if limits_in_flight(operation) {
            keys.permits = Some(self.permits.key(&keys.counters, way.servers)?);
            let (permits, taken) = self.permits.ask(&keys, operation);
            (plan, taking) = (plan.with_permits(&permits), taken);
        }
        let (request, receiver) = Request::new(keys, plan, slot, way.deadline);
        let request = if way.is_single { node.begin_alone(request) } else { Err(request) };
        let caller = match request {
            Ok(caller) => Some(caller),
            Err(request) => {
                node.submit(request);
                None
            }
        };
        Ok(Submitted { caller, receiver, taking })
    }

    /// Sends the operations once more that lack windows of calendars: with those around the server's
    /// time, and the others that it asks for. Nothing of these operations was executed.
    #[cold]
    async fn ask_again(
        &self,
        way: &Way<'_>,
        batch: &[Operation<'_>],
        mut lacking: Vec<Lacking>,
        answers: &mut [Result<Answer, BackendError>],
    ) {
        for _ in 0..MAX_ROUNDS {
            let mut submitted = Vec::new();
            for Lacking { index, reply, mut asked } in lacking.drain(..) {
                let Some((now, wanted)) = reply.wanted() else { continue };
                if wanted.is_empty() {
                    way.time.learn(now);
                }
                if !asked.add(wanted) {
                    let text = "the server asks for windows of calendars that make no sense";
                    answers[index] = Err(BackendError::useless(text));
                    continue;
                }
                let operation = &batch[index];
                let plan = Plan::of(operation)
                    .with_windows(&windows_of(operation.check.policy, now))
                    .with_windows(asked.list());
                submitted.push((index, asked, self.submit_plan(way, operation, plan)));
            }
            for (index, asked, submitted) in submitted {
                answers[index] = match Submitted::receive(submitted, &batch[index]).await {
                    Ok(Received::Answer(answer)) => Ok(answer),
                    Ok(Received::Lacking(reply)) => {
                        lacking.push(Lacking { index, reply, asked });
                        continue;
                    }
                    Err(error) => Err(error),
                };
            }
            if lacking.is_empty() {
                return;
            }
        }
    }

    /// Connects, and verifies that the servers can serve checks.
    async fn prepare(&self) -> Result<(), BackendError> {
        match self.servers.ask().await? {
            Servers::Single(node) => {
                if !self.servers.is_asked() {
                    mode::check_is_single(node).await?;
                }
                preflight::check(node).await?;
                rights::check(node, &self.key_prefix, |_| true).await
            }
            Servers::Cluster(cluster) => {
                cluster.ready().await?;
                for node in cluster.masters() {
                    preflight::check(&node).await?;
                    let serves = |key: &[u8]| {
                        let server = cluster.route(slot_of(key));
                        server.is_some_and(|server| Arc::ptr_eq(&server, &node))
                    };
                    rights::check(&node, &self.key_prefix, serves).await?;
                }
                Ok(())
            }
        }
    }

    /// Carries out a batch. Operations that are not answered by `deadline` fail.
    async fn apply_before(
        &self,
        deadline: Instant,
        time: &ServerTime,
        batch: &[Operation<'_>],
    ) -> Answers {
        let fail_all =
            |error: BackendError| batch.iter().map(|_| Err(error.for_another())).collect();
        let servers = match self.servers.get_by(deadline).await {
            Ok(servers) => servers,
            Err(error) => return fail_all(error),
        };
        if let Servers::Cluster(cluster) = servers
            && let Err(error) = cluster.ready_by(deadline).await
        {
            return fail_all(error);
        }
        let way = Way { servers, deadline, time, is_single: batch.len() == 1 };
        let submit = |operation| self.submit(&way, operation);
        let submitted: Vec<_> = batch.iter().map(submit).collect();
        let mut answers = Vec::with_capacity(batch.len());
        let mut lacking = Vec::new();
        for (submitted, operation) in submitted.into_iter().zip(batch) {
            answers.push(match Submitted::receive(submitted, operation).await {
                Ok(Received::Answer(answer)) => Ok(answer),
                Ok(Received::Lacking(reply)) => {
                    let (index, asked) = (answers.len(), AskedWindows::default());
                    lacking.push(Lacking { index, reply, asked });
                    let text = "the server's time changes from one call to the next";
                    Err(BackendError::not_executed(text))
                }
                Err(error) => Err(error),
            });
        }
        if !lacking.is_empty() {
            Box::pin(self.ask_again(&way, batch, lacking, &mut answers)).await;
        }
        answers
    }
}

/// The way of a batch to the servers.
struct Way<'a> {
    servers: &'a Servers,
    deadline: Instant,
    time: &'a ServerTime,
    /// `true` if the batch has one operation, so that its caller may be alone.
    is_single: bool,
}

impl Backend for RedisBackend {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.apply_before(Instant::now() + self.deadline, &self.time, batch).await
    }

    fn info(&self) -> BackendInfo {
        let info = BackendInfo::new(NAME).identity(format!("{} {}", self.place, self.key_prefix));
        BackendInfo { calendars: true, ..info }
    }

    async fn initialize(&self) -> Result<(), BackendError> {
        self.prepare().await.map_err(remedy::with_remedy)
    }

    async fn close(&self) {
        self.permits.close(self.deadline).await;
        for node in self.servers.known().iter().flat_map(Servers::nodes) {
            node.close().await;
        }
    }

    fn into_store(self: Arc<Self>, options: StoreOptions) -> StoreHandle {
        let deadline = options.deadline.unwrap_or(self.deadline);
        StoreHandle(Box::new(RedisStore {
            identity: identity_of(&self, self.info().identity),
            backend: self,
            deadline,
            time: ServerTime::new(options.clock),
        }))
    }
}

/// The backend as the store of a limiter, which may have set a deadline and a clock of its own.
struct RedisStore {
    identity: u64,
    backend: Arc<RedisBackend>,
    deadline: Duration,
    time: ServerTime,
}

impl Permits for RedisBackend {
    fn adopt(&self, check: &Check<'_>) {
        self.permits.adopt(&self.key(&Operation::peek(*check)), check);
    }

    fn release(&self, check: &Check<'_>) {
        self.permits.release(&self.key(&Operation::peek(*check)));
    }

    fn each_held(&self, add: &mut dyn FnMut(&str, u32)) {
        self.permits.each_held(add);
    }
}

impl Store for RedisStore {
    fn charge_now(&self, _: &Check<'_>, _: &mut Verdict) -> Option<Result<(), BackendError>> {
        None
    }

    fn apply_now(&self, _: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        None
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        let deadline = Instant::now() + self.deadline;
        Box::pin(self.backend.apply_before(deadline, &self.time, batch))
    }

    fn supports_calendars(&self) -> bool {
        true
    }

    fn supports_all(&self) -> bool {
        true
    }

    fn permits(&self) -> Option<&dyn Permits> {
        Some(&*self.backend)
    }

    /// Returns `true`: this store enforces the deadline itself. Only it knows if a check that is
    /// given up was already sent, and it can also stop waiting for a connection.
    fn has_deadline(&self) -> bool {
        true
    }

    fn server_of(&self, operation: &Operation<'_>) -> u64 {
        let Some(Servers::Cluster(cluster)) = self.backend.servers.known() else { return 0 };
        let slot = slot_of(&self.backend.key(operation));
        cluster.route(slot).map_or(0, |node| node.number)
    }

    fn identity(&self) -> u64 {
        self.identity
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        Some(Arc::new(ServerGauges(Arc::clone(&self.backend.servers))))
    }

    fn initialize(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(Backend::initialize(&*self.backend))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(Backend::close(&*self.backend))
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("key_prefix", &self.key_prefix).finish_non_exhaustive()
    }
}
