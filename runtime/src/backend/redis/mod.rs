//! Counters in Redis: one budget for all processes that share it.
//!
//! `script.lua` decides; `script` asks it. Questions wait in a `lane`, of which there is one for each
//! server; a `flight` carries many of them in one round trip, and `landed` hands their answers out.
//! `cluster` finds the node that can answer, `connect` the server itself, to which a `link` is kept,
//! and `failure` says what may be sent again.

mod builder;
mod cluster;
mod connect;
mod failure;
mod flight;
mod job;
mod landed;
mod lane;
mod link;
mod script;
mod start;
mod stats;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::builder::RedisBackendBuilder;
use self::cluster::{Cluster, slot_of};
use self::job::{Job, Ticket, Told};
use self::lane::Lane;
use self::script::Plan;
pub use self::stats::RedisStats;
use super::store::{Answers, BoxFuture, Store, StoreHandle, StoreOptions};
use super::{Action, Answer, Backend, Gauges, Operation};
use crate::algorithm::verdict_from_raw;
use crate::micros::Timestamp;
use crate::{BackendError, Check, Policy, Verdict};

#[doc = include_str!("../../docs/redis.md")]
pub struct RedisBackend {
    key_prefix: String,
    deadline: Duration,
    servers: Servers,
}

#[derive(Clone)]
enum Servers {
    /// One, or the one that sentinels name.
    One(Arc<Lane>),
    Cluster(Arc<Cluster>),
}

impl RedisBackend {
    /// A backend for the servers that `url` names. It connects when it is first asked, or
    /// when the limiter is initialized.
    ///
    /// # Errors
    ///
    /// If that is no such URL; the error says what to write instead.
    pub async fn from_url(url: &str) -> Result<Self, BackendError> {
        Self::builder(url).build()
    }

    /// Sets what `url` leaves open.
    #[must_use]
    pub fn builder(url: &str) -> RedisBackendBuilder {
        RedisBackendBuilder::new(url)
    }

    /// What it has been doing.
    #[must_use]
    pub fn stats(&self) -> RedisStats {
        self.servers.stats()
    }

    /// The key of a subject: the length tells where the policy's name ends.
    fn key(&self, operation: &Operation<'_>) -> Box<[u8]> {
        let Check { policy, subject, .. } = operation.check;
        let name = policy.name();
        let key = format!("{}{}:{name}:{subject}", self.key_prefix, name.len());
        key.into_bytes().into()
    }

    /// Sends an operation on its way.
    fn submit(&self, operation: &Operation<'_>, deadline: Instant) -> Result<Ticket, BackendError> {
        if let Some(reason) = operation.check.policy.unsupported() {
            return Err(BackendError::rejected(reason));
        }
        let (key, plan) = (self.key(operation), Plan::of(operation));
        let (lane, slot) = match &self.servers {
            Servers::One(lane) => (Arc::clone(lane), 0),
            Servers::Cluster(cluster) => {
                let slot = slot_of(&key);
                let lane = cluster.route(slot).or_else(|| cluster.masters().into_iter().next());
                let lane = lane
                    .ok_or_else(|| BackendError::not_executed("no node of the cluster is known"))?;
                (lane, slot)
            }
        };
        let (job, ticket) = Job::new(key, plan, slot, deadline);
        lane.submit(job);
        Ok(ticket)
    }

    /// Carries out a batch before `deadline`.
    async fn apply_before(&self, deadline: Instant, batch: &[Operation<'_>]) -> Answers {
        if let Servers::Cluster(cluster) = &self.servers {
            let late = || BackendError::not_executed("no node answered before the deadline");
            let ready = tokio::time::timeout_at(deadline, cluster.ready()).await;
            if let Err(error) = ready.unwrap_or_else(|_| Err(late())) {
                let reason = error.to_string();
                let error = || Err(BackendError::not_executed(reason.clone()));
                return batch.iter().map(|_| error()).collect();
            }
        }
        let tickets: Vec<_> =
            batch.iter().map(|operation| self.submit(operation, deadline)).collect();
        let mut answers = Vec::with_capacity(batch.len());
        for (ticket, operation) in tickets.into_iter().zip(batch) {
            answers.push(match ticket {
                Ok(ticket) => ticket.answer().await.and_then(|told| answer(operation, told)),
                Err(error) => Err(error),
            });
        }
        answers
    }
}

impl Servers {
    fn lanes(&self) -> Vec<Arc<Lane>> {
        match self {
            Self::One(lane) => vec![Arc::clone(lane)],
            Self::Cluster(cluster) => cluster.lanes(),
        }
    }
}

impl Backend for RedisBackend {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.apply_before(Instant::now() + self.deadline, batch).await
    }

    fn name(&self) -> &'static str {
        "redis"
    }

    async fn initialize(&self) -> Result<(), BackendError> {
        match &self.servers {
            Servers::One(lane) => start::check(lane).await,
            Servers::Cluster(cluster) => {
                cluster.ready().await?;
                for lane in cluster.masters() {
                    start::check(&lane).await?;
                }
                Ok(())
            }
        }
    }

    async fn close(&self) {
        for lane in self.servers.lanes() {
            lane.close().await;
        }
    }

    fn into_store(self: Arc<Self>, options: StoreOptions) -> StoreHandle {
        let deadline = options.deadline.unwrap_or(self.deadline);
        StoreHandle(Box::new(RedisStore { backend: self, deadline }))
    }
}

/// The backend in a limiter, which may have set a deadline of its own.
struct RedisStore {
    backend: Arc<RedisBackend>,
    deadline: Duration,
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

    /// Keeps it itself: it knows whether a check that is given up was sent, and does not wait for
    /// its connection any longer.
    fn has_deadline(&self) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        Backend::name(&*self.backend)
    }

    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        Some(Arc::new(self.backend.servers.clone()))
    }

    fn initialize(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(Backend::initialize(&*self.backend))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(Backend::close(&*self.backend))
    }
}

/// What the script's answer means.
fn answer(operation: &Operation<'_>, told: Told) -> Result<Answer, BackendError> {
    let Told { now, numbers } = told;
    let mut numbers = numbers.into_iter();
    let status = numbers.next();
    let answer = match operation.action {
        Action::Charge | Action::Peek => {
            let Check { policy, cost, .. } = operation.check;
            status.and_then(|status| verdict(policy, now, cost, status == 1, numbers))
        }
        Action::Reset => Some(Answer::Reset),
        Action::Refund { .. } => status.map(|status| Answer::Refunded(status == 1)),
    };
    answer.ok_or_else(|| BackendError::unknown("the server's answer makes no sense"))
}

fn verdict(
    policy: &Policy,
    now: u64,
    cost: u32,
    admitted: bool,
    raw: impl Iterator<Item = u64>,
) -> Option<Answer> {
    // What can never be admitted is not asked for: the script only looked.
    let never = policy.quotas().iter().any(|quota| cost > quota.capacity());
    verdict_from_raw(policy, Timestamp::from_micros(now), cost, admitted && !never, raw)
        .map(Answer::Verdict)
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("key_prefix", &self.key_prefix).finish_non_exhaustive()
    }
}
