//! Waiting: callers wait in one queue, or line, for each subject of a policy. First come, first
//! served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smol_str::SmolStr;

use super::Limiter;
use crate::algorithm::spaced;
use crate::clock::first_of;
use crate::overrides::EffectivePolicy;
use crate::verdict::Verdict;
use crate::{Algorithm, Check, Clock, Decision, Outcome, Policy, Quota, Unavailable};

/// The lines in which callers wait. A line without callers is removed.
pub(super) struct Queue {
    clock: Arc<dyn Clock>,
    lines: Mutex<HashMap<LineKey, Line>>,
}

/// The key of a line: the policy's name and the subject.
type LineKey = (SmolStr, SmolStr);

#[derive(Default)]
struct Line {
    /// The lock of the first caller in line. tokio's mutex is fair: callers obtain it in the order
    /// in which they came, and a caller that gives up leaves the line.
    head: Arc<tokio::sync::Mutex<()>>,
    /// The total cost, in units, of the callers in line.
    wanted: u64,
}

impl Limiter {
    /// Charges a check as soon as the policy in effect admits it, and waits for that up to
    /// `max_wait`. Also returns the policy in effect at the end of the wait. The caller of this
    /// method calls the `on_blocked` functions after a refusal.
    pub(crate) async fn charge_in_line<'a>(
        &self,
        check: &Check<'a>,
        max_wait: Duration,
    ) -> (EffectivePolicy<'a>, Result<Decision, Unavailable>) {
        let timer = self.shared.telemetry.start_timer();
        let waited = self.wait_in_line(check, max_wait).await;
        let policy = self.effective_policy_for(check);
        self.observe_wait(timer, &check.with_policy(&policy), &waited);
        (policy, waited)
    }

    async fn wait_in_line(
        &self,
        check: &Check<'_>,
        max_wait: Duration,
    ) -> Result<Decision, Unavailable> {
        let cost = check.cost;
        let queue = &self.shared.queue;
        let effective = self.effective_policy_for(check);
        if !effective.is_enabled() {
            return Ok(Decision::disabled());
        }
        let in_effect = check.with_policy(&effective);
        if cost == 0 || in_effect.can_never_pass() {
            return self.charge_unobserved(&in_effect).await;
        }
        let Some(place) = queue.join(&in_effect, max_wait) else {
            let decision = self.peek_check(check).await?;
            return Ok(decision.refused_for(max_wait));
        };
        let until = queue.instant_in(max_wait);
        match first_of(place.head.lock(), queue.clock.sleep(max_wait)).await {
            Some(_head) => self.charge_at_head(check, until).await,
            None => {
                let decision = self.peek_check(check).await?;
                Ok(decision.refused_for(Duration::ZERO))
            }
        }
    }

    /// Charges a check that is the first in line. Asks again whenever the answer may have changed,
    /// until the check is admitted or cannot be admitted before `until` (in microseconds of the
    /// queue's clock).
    async fn charge_at_head(&self, check: &Check<'_>, until: u64) -> Result<Decision, Unavailable> {
        let queue = &self.shared.queue;
        loop {
            // The policy in effect may change during the wait.
            let policy = self.effective_policy_for(check);
            let decision = if !policy.is_enabled() {
                Decision::disabled()
            } else if policy.get_algorithm() == Algorithm::LeakyBucket {
                let spaced = spaced(&policy, check.cost);
                self.charge_unobserved(&check.with_policy(&spaced)).await?
            } else {
                self.charge_unobserved(&check.with_policy(&policy)).await?
            };
            match decision.outcome() {
                Outcome::Refused { retry_after } if queue.instant_in(retry_after) <= until => {
                    queue.clock.sleep(retry_after).await;
                }
                _ => return Ok(decision),
            }
        }
    }

    /// Charges a check without telemetry, because a waiting caller is reported only once, at the
    /// end of its wait.
    async fn charge_unobserved(&self, check: &Check<'_>) -> Result<Decision, Unavailable> {
        let mut verdict = Verdict::open();
        self.ask(check, &mut verdict).await?;
        Ok(self.charged(verdict, check))
    }
}

impl Queue {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, lines: Mutex::default() }
    }

    #[cfg(feature = "dashboard")]
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns the time `span` from now, in microseconds of the queue's clock. A time that cannot
    /// be represented becomes `u64::MAX`.
    fn instant_in(&self, span: Duration) -> u64 {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.clock.now_micros().saturating_add(micros)
    }

    /// Joins the end of the line. Returns `None` if this caller cannot be admitted within
    /// `max_wait`, because of the callers in front of it.
    fn join(&self, check: &Check<'_>, max_wait: Duration) -> Option<PlaceInLine<'_>> {
        let Check { policy, subject, cost, .. } = *check;
        let key = (policy.name_handle(), SmolStr::from(subject));
        let mut lines = lock(&self.lines);
        let line = lines.entry(key.clone()).or_default();
        let wanted = line.wanted + u64::from(cost);
        if line.wanted > 0 && wanted > capacity(policy, max_wait) {
            return None;
        }
        line.wanted = wanted;
        let head = Arc::clone(&line.head);
        drop(lines);
        Some(PlaceInLine { queue: self, key, cost, head })
    }
}

/// Returns the largest number of units that a policy can admit within `span`.
fn capacity(policy: &Policy, span: Duration) -> u64 {
    let admitted = |quota: &Quota| {
        let [limit, burst] = [quota.limit(), quota.capacity()].map(u128::from);
        let (span, period) = (span.as_micros(), quota.period().as_micros());
        match policy.get_algorithm() {
            Algorithm::SlidingWindow => limit.saturating_mul(span / period + 1),
            // Counts the windows that begin during the wait, and the present window.
            Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => {
                limit.saturating_mul(span / period + 2)
            }
            Algorithm::TokenBucket | Algorithm::Gcra => burst + limit.saturating_mul(span) / period,
            // One unit is admitted at once, and then one after each interval. The line may not be
            // longer than the bucket is large.
            Algorithm::LeakyBucket => burst.min(1 + limit.saturating_mul(span) / period),
        }
    };
    let least = policy.quotas().iter().map(admitted).min().unwrap_or(0);
    least.try_into().unwrap_or(u64::MAX)
}

/// A caller's place in a line. The caller leaves the line when this is dropped.
struct PlaceInLine<'a> {
    queue: &'a Queue,
    key: LineKey,
    cost: u32,
    head: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for PlaceInLine<'_> {
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

/// Locks the mutex and ignores poisoning: no panic can leave the costs half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
