//! Waiting: a caller stands in line until the policy in effect admits it, or its patience ends.

use std::ops::ControlFlow;
use std::time::Duration;

use super::Limiter;
use super::prospect::can_pass;
use crate::algorithm::spaced;
use crate::clock::first_of;
use crate::overrides::{EffectivePolicy, RequestHead};
use crate::verdict::Verdict;
use crate::{Algorithm, Check, Decision, Outcome, Policy, QuotaState, Unavailable};

impl Limiter {
    /// Charges a check as soon as the policy in effect admits it, and waits for that up to
    /// `max_wait`. Also returns the policy in effect at the end of the wait. The caller of this
    /// method calls the `on_blocked` functions after a refusal.
    pub(crate) async fn charge_in_line<'a>(
        &self,
        check: &Check<'a>,
        max_wait: Duration,
        request: Option<&RequestHead>,
    ) -> (EffectivePolicy<'a>, Result<Decision, Unavailable>) {
        let timer = self.shared.telemetry.start_timer();
        let mut policy = self.effective_policy(check.policy);
        let waited = self.wait_in_line(check, max_wait, request, &mut policy).await;
        self.observe_wait(timer, &check.with_policy(&policy), &waited);
        (policy, waited)
    }

    /// Waits in line. `in_effect` becomes the policy by which the check was looked at last.
    async fn wait_in_line<'a>(
        &self,
        check: &Check<'a>,
        max_wait: Duration,
        request: Option<&RequestHead>,
        in_effect: &mut EffectivePolicy<'a>,
    ) -> Result<Decision, Unavailable> {
        let queue = &self.shared.queue;
        let until = queue.instant_in(max_wait);
        let mut place = None;
        // The policy in force when the caller's prospect was last judged.
        let mut judged: Option<Box<Policy>> = None;
        let mut was_refused = false;
        let mut pauses = Pauses::new();
        loop {
            let found = self.find_policy_for(check, request).await;
            *in_effect = found.policy;
            let policy = &*in_effect;
            if let Some(failed) = found.failed {
                return self.charge_unfound(&check.with_policy(policy), failed).await;
            }
            // Of a request, only the first refusal counts for a ban.
            let uncounted = (was_refused && policy.get_ban().is_some())
                .then(|| Box::new((**policy).clone().without_ban()));
            let in_force = check.with_policy(uncounted.as_deref().unwrap_or(policy));
            if !policy.is_enabled() {
                return Ok(Decision::disabled());
            }
            if check.cost == 0 || policy.is_blocked() || in_force.can_never_pass() {
                return self.charge_unobserved(&in_force).await;
            }
            let taken = place.get_or_insert_with(|| queue.join(check, until));
            let stays = match taken.look(policy) {
                None => match self.ask_as_first(&in_force, until, &mut pauses).await? {
                    ControlFlow::Break(decision) => return Ok(decision),
                    ControlFlow::Continue(span) => {
                        was_refused = true;
                        span
                    }
                },
                Some(ahead) => {
                    let left = queue.until(until);
                    let is_judged = judged.as_ref().is_some_and(|by| policy.counts_like(by));
                    let is_hopeless = !is_judged && !can_pass(&in_force, ahead, left);
                    if is_hopeless || left.is_zero() {
                        // Those behind need not wait until the store has told the time to retry.
                        drop(place);
                        let refusal = self.refuse_in_line(&in_force, ahead).await?;
                        return Ok(refusal.refused_for(left));
                    }
                    if !is_judged {
                        judged = Some(Box::new((**policy).clone()));
                    }
                    left
                }
            };
            let stays = stays.min(self.policy_known_for(check));
            first_of(taken.notified(), queue.clock().sleep(stays)).await;
        }
    }

    /// Charges a check that is the first in line. It stays for the time returned if it can be admitted
    /// before `until` (in microseconds of the queue's clock), and otherwise leaves with the decision.
    async fn ask_as_first(
        &self,
        check: &Check<'_>,
        until: u64,
        pauses: &mut Pauses,
    ) -> Result<ControlFlow<Decision, Duration>, Unavailable> {
        let decision = if check.policy.get_algorithm() == Algorithm::LeakyBucket {
            let spaced = spaced(check.policy, check.cost);
            self.charge_unobserved(&check.with_policy(&spaced)).await?
        } else {
            self.charge_unobserved(check).await?
        };
        let queue = &self.shared.queue;
        let stays = match decision.outcome() {
            Outcome::Refused { .. } if lacks_permit(check.policy, &decision) => {
                // The time that the refusal tells is a guess. Who releases a permit in this process
                // notifies the first in line.
                let (told, left) = (quotas_wait(check.policy, &decision), queue.until(until));
                let pause = if self.shared.can_fail { pauses.next() } else { Duration::MAX };
                (!left.is_zero() && told <= left).then(|| told.max(pause).min(left))
            }
            Outcome::Refused { retry_after } if queue.instant_in(retry_after) <= until => {
                Some(retry_after)
            }
            _ => None,
        };
        Ok(match stays {
            Some(span) => ControlFlow::Continue(span),
            None => ControlFlow::Break(decision),
        })
    }

    /// Charges a check without telemetry, because a waiting caller is reported only once, at the
    /// end of its wait.
    async fn charge_unobserved(&self, check: &Check<'_>) -> Result<Decision, Unavailable> {
        let mut verdict = Verdict::open();
        self.ask(check, &mut verdict).await?;
        Ok(self.charged(verdict, check))
    }
}

/// Returns `true` if no permit was free for a request that was refused.
fn lacks_permit(policy: &Policy, decision: &Decision) -> bool {
    let limits_in_flight = policy.get_in_flight().is_some();
    limits_in_flight && decision.quotas().last().is_some_and(QuotaState::is_exceeded)
}

/// Returns the time until the quotas of a policy admit the request; [`Duration::MAX`] if they never do.
fn quotas_wait(policy: &Policy, decision: &Decision) -> Duration {
    let states = decision.quotas().iter().take(policy.quotas().len());
    let exceeded = states.filter(|state| state.is_exceeded());
    exceeded.map(|state| state.retry_after().unwrap_or(Duration::MAX)).max().unwrap_or_default()
}

/// The pauses after which the first in line asks a store again that other processes share, because
/// these do not tell when they release a permit: 10 ms, and twice as long each time, up to 250 ms.
struct Pauses(Duration);

impl Pauses {
    const LONGEST: Duration = Duration::from_millis(250);

    fn new() -> Self {
        Self(Duration::from_millis(10))
    }

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause
    }
}
