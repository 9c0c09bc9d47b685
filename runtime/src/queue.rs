//! Lines of those who wait for a turn, one for each subject of a policy.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use smol_str::SmolStr;

use crate::algorithm::spaced;
use crate::decision::Ruling;
use crate::{Algorithm, Clock, Decision, Limiter, Outcome, Policy, Quota, Unavailable};

/// The lines in which somebody stands.
pub(crate) struct Queue {
    clock: Arc<dyn Clock>,
    lines: Mutex<HashMap<Key, Line>>,
}

/// The policy's name and the subject.
type Key = (SmolStr, SmolStr);

#[derive(Default)]
struct Line {
    /// Held by the first in line. tokio's mutex is fair: it is handed on in the order of
    /// arrival, and who gives up leaves the line.
    head: Arc<tokio::sync::Mutex<()>>,
    /// The cost of all who stand in it.
    wanted: u64,
}

impl Queue {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, lines: Mutex::default() }
    }

    #[cfg(feature = "dashboard")]
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) async fn wait(
        &self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &str,
        cost: u32,
        patience: Duration,
    ) -> Result<Decision, Unavailable> {
        let current = limiter.current_for(policy, subject);
        if !current.is_enabled() {
            return Ok(Decision::disabled());
        }
        let never = current.quotas().iter().any(|quota| cost > quota.capacity());
        if cost == 0 || never {
            return attempt(limiter, &current, subject, cost).await;
        }
        let Some(place) = self.line_up(&current, subject, cost, patience) else {
            let decision = limiter.peek(policy, subject, cost).await?;
            return Ok(decision.refused_for(patience));
        };
        let until = self.instant_in(patience);
        match first_of(place.head.lock(), self.clock.sleep(patience)).await {
            Some(_head) => self.at_the_head(limiter, policy, subject, cost, until).await,
            None => {
                let decision = limiter.peek(policy, subject, cost).await?;
                Ok(decision.refused_for(Duration::ZERO))
            }
        }
    }

    /// Asks, and again whenever the answer may have changed, until it is yes or too late.
    async fn at_the_head(
        &self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &str,
        cost: u32,
        until: u64,
    ) -> Result<Decision, Unavailable> {
        loop {
            // What it is may change while it waits.
            let current = limiter.current_for(policy, subject);
            let decision = if !current.is_enabled() {
                Decision::disabled()
            } else if current.get_algorithm() == Algorithm::LeakyBucket {
                attempt(limiter, &spaced(&current, cost), subject, cost).await?
            } else {
                attempt(limiter, &current, subject, cost).await?
            };
            match decision.outcome() {
                Outcome::Refused { retry_after } if self.passes_before(retry_after, until) => {
                    self.clock.sleep(retry_after).await;
                }
                Outcome::Allowed | Outcome::Refused { .. } | Outcome::Never => return Ok(decision),
            }
        }
    }

    fn passes_before(&self, span: Duration, until: u64) -> bool {
        self.instant_in(span) <= until
    }

    /// The instant that is `span` from now; the last there is if it is farther.
    fn instant_in(&self, span: Duration) -> u64 {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.clock.now_micros().saturating_add(micros)
    }

    /// A place at the end of the line; `None` if those before it take all that can be had in
    /// time.
    fn line_up(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        patience: Duration,
    ) -> Option<Place<'_>> {
        let key = (policy.name_handle(), SmolStr::from(subject));
        let mut lines = lock(&self.lines);
        let line = lines.entry(key.clone()).or_default();
        let wanted = line.wanted + u64::from(cost);
        if line.wanted > 0 && wanted > capacity(policy, patience) {
            return None;
        }
        line.wanted = wanted;
        let head = Arc::clone(&line.head);
        drop(lines);
        Some(Place { queue: self, key, cost, head })
    }
}

/// Of what it comes to, whoever waits is told at the end.
async fn attempt(
    limiter: &Limiter,
    policy: &Policy,
    subject: &str,
    cost: u32,
) -> Result<Decision, Unavailable> {
    let mut ruling = Ruling::open();
    limiter.attempt(policy, subject, cost, &mut ruling).await?;
    Ok(Decision::charged(ruling, policy, subject, cost))
}

/// What `turn` gives, or `None` if `late` ends before it.
pub(crate) async fn first_of<T>(
    turn: impl Future<Output = T>,
    late: impl Future<Output = ()>,
) -> Option<T> {
    let (mut turn, mut late) = (pin!(turn), pin!(late));
    poll_fn(|context| match turn.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => late.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// The most that a policy can admit in a wait of `patience`.
fn capacity(policy: &Policy, patience: Duration) -> u64 {
    let admitted = |quota: &Quota| {
        let [limit, burst] = [quota.limit(), quota.capacity()].map(u128::from);
        let (span, period) = (patience.as_micros(), quota.period().as_micros());
        match policy.get_algorithm() {
            Algorithm::SlidingWindow => limit.saturating_mul(span / period + 1),
            // The windows that begin during the wait, and the one that is open.
            Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => {
                limit.saturating_mul(span / period + 2)
            }
            Algorithm::TokenBucket | Algorithm::Gcra => burst + limit.saturating_mul(span) / period,
            // One at once and then one after each interval, from a line as long as the bucket.
            Algorithm::LeakyBucket => burst.min(1 + limit.saturating_mul(span) / period),
        }
    };
    let least = policy.quotas().iter().map(admitted).min().unwrap_or(0);
    least.try_into().unwrap_or(u64::MAX)
}

/// Somebody's place in a line, given up when dropped.
struct Place<'a> {
    queue: &'a Queue,
    key: Key,
    cost: u32,
    head: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = lock(&self.queue.lines);
        if let Some(line) = lines.get_mut(&self.key) {
            line.wanted -= u64::from(self.cost);
            if line.wanted == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

/// The counts are whole whenever the lock is free, even if a thread panicked elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
