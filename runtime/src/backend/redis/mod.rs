//! Counters in Redis, shared by all processes that use the same servers.
//!
//! The server decides, by the Lua script in the folder `script/`; `script.rs` encodes the calls. On
//! its way an operation passes these files:
//!
//! - `discovery` tells if there is a cluster, and `cluster` finds the `node` that serves its key. A
//!   single server is one node.
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
//!   again.
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
mod servers;
mod settings;
mod socket;
mod stored_form;
mod stored_keys;
mod stream;
mod tls;
mod trouble;
mod url;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::answer::{answer, limits_in_flight};
pub use self::builder::RedisBackendBuilder;
use self::cluster::slot_of;
pub use self::credentials::RedisCredentials;
use self::discovery::{Discovery, ServerGauges};
use self::lone_caller::LoneCaller;
use self::permits::{HeldPermits, PermitOnItsWay};
use self::request::{ReplyReceiver, Request};
use self::script::{Keys, Plan};
use self::servers::Servers;
pub use self::stored_form::StoredForm;
pub use self::stored_keys::{StoredKey, StoredKeys, StoredState};
use super::identity::identity_of;
use super::info::BackendInfo;
use super::store::{Answers, BoxFuture, NO_CALENDARS, Permits, Store, StoreHandle, StoreOptions};
use super::{Backend, Gauges};
use crate::operation::{Answer, Operation};
use crate::stats::RedisStats;
use crate::verdict::Verdict;
use crate::{BackendError, Check, Outcome};

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

    fn key(&self, operation: &Operation<'_>) -> Box<[u8]> {
        let Check { policy, subject, .. } = operation.check;
        key_name::of(&self.key_prefix, policy.name(), subject)
    }

    /// Queues an operation at the node that serves its key. If its caller is alone there and
    /// `is_single` is `true`, begins its call instead.
    fn submit(
        &self,
        servers: &Servers,
        operation: &Operation<'_>,
        deadline: Instant,
        is_single: bool,
    ) -> Result<Submitted, BackendError> {
        if let Some(unsupported) = operation.check.policy.unsupported() {
            return Err(BackendError::rejected(unsupported.reason));
        }
        if operation.check.policy.has_calendar() {
            return Err(BackendError::rejected(NO_CALENDARS));
        }
        let (key, mut plan) = (self.key(operation), Plan::of(operation));
        let (node, slot) = servers.serving(&key)?;
        let mut keys = Keys { counters: key, permits: None };
        let mut taking = None;
        if limits_in_flight(operation) {
            keys.permits = Some(self.permits.key(&keys.counters, servers)?);
            let (permits, taken) = self.permits.ask(&keys, operation);
            (plan, taking) = (plan.with_permits(&permits), taken);
        }
        let (request, receiver) = Request::new(keys, plan, slot, deadline);
        let request = if is_single { node.begin_alone(request) } else { Err(request) };
        let caller = match request {
            Ok(caller) => Some(caller),
            Err(request) => {
                node.submit(request);
                None
            }
        };
        Ok(Submitted { caller, receiver, taking })
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
    async fn apply_before(&self, deadline: Instant, batch: &[Operation<'_>]) -> Answers {
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
        let submit = |operation| self.submit(servers, operation, deadline, batch.len() == 1);
        let submitted: Vec<_> = batch.iter().map(submit).collect();
        let mut answers = Vec::with_capacity(batch.len());
        for (submitted, operation) in submitted.into_iter().zip(batch) {
            answers.push(match submitted {
                Ok(it) => it.answer(operation).await,
                Err(error) => Err(error),
            });
        }
        answers
    }
}

/// An operation on its way.
struct Submitted {
    /// The caller, if it carries out the call itself.
    caller: Option<LoneCaller>,
    receiver: ReplyReceiver,
    /// The permit that it may take; `None` if it takes none.
    taking: Option<PermitOnItsWay>,
}

impl Submitted {
    async fn answer(self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let reply = match self.caller {
            Some(caller) => caller.receive(self.receiver).await,
            None => self.receiver.receive().await,
        };
        let answer = answer(operation, reply?)?;
        if let (Some(taking), Answer::Verdict(verdict)) = (self.taking, &answer) {
            taking.answered(verdict.outcome() == Outcome::Allowed);
        }
        Ok(answer)
    }
}

impl Backend for RedisBackend {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.apply_before(Instant::now() + self.deadline, batch).await
    }

    fn info(&self) -> BackendInfo {
        BackendInfo::new(NAME).identity(format!("{} {}", self.place, self.key_prefix))
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
        }))
    }
}

/// The backend as the store of a limiter, which may have set a deadline of its own.
struct RedisStore {
    identity: u64,
    backend: Arc<RedisBackend>,
    deadline: Duration,
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
        Box::pin(self.backend.apply_before(Instant::now() + self.deadline, batch))
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Policy, Quota};

    fn slots(prefix: &str, names: &[&str], subject: impl Fn(usize) -> String) -> usize {
        let backend = RedisBackend::builder("redis://h").key_prefix(prefix).build().unwrap();
        let mut slots = HashSet::new();
        for name in names {
            let policy = Policy::named(*name, Quota::per_minute(1));
            for number in 0..100 {
                let subject = subject(number);
                let operation = Operation::peek(Check::new(&policy, &subject, 1));
                slots.insert(slot_of(&backend.key(&operation)));
            }
        }
        slots.len()
    }

    #[test]
    fn nothing_in_a_subject_or_a_name_steers_the_slot() {
        for names in [["login", "search"], ["{a}", "b{a}"], ["{", "}"]] {
            for shape in ["{a}N", "x{a}N", "{a}{N}", "}N", "a}N", "{N", "N"] {
                // A brace that the prefix leaves open ends nowhere, either.
                for prefix in ["tollgate:", "toll{gate:", "toll}gate:"] {
                    let slots =
                        slots(prefix, &names, |number| shape.replace('N', &number.to_string()));
                    assert!(slots > 190, "{slots}: {prefix} {names:?} {shape}");
                }
            }
        }
        // Who writes a tag into the prefix wants one slot.
        assert_eq!(slots("{tollgate}:", &["login"], |number| number.to_string()), 1);
    }

    #[test]
    fn keys_stay_apart() {
        let backend = RedisBackend::builder("redis://h").build().unwrap();
        // Braces are hashed. A colon separates the parts of a key, and could be in any of them.
        let texts = [
            "a", "{a}", "a}", "{a", "{", "}", "{}", "a{", "~{", "a:a", "a:", ":a", ":", "a:a:a",
            "1:a", "a:1:a", "",
        ];
        let mut keys = HashSet::new();
        for name in texts {
            let policy = Policy::named(name, Quota::per_minute(1));
            for subject in texts {
                let operation = Operation::peek(Check::new(&policy, subject, 1));
                assert!(keys.insert(backend.key(&operation)), "{name} {subject}");
            }
        }
    }
}
