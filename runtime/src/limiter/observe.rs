//! Observation: the limiter's statistics, metrics and hooks.

#[cfg(feature = "dashboard")]
use std::sync::Arc;

use super::Limiter;
#[cfg(feature = "dashboard")]
use crate::Policy;
use crate::guard::Circuit;
use crate::stats::{BackendStats, LimiterStats};
#[cfg(feature = "dashboard")]
use crate::telemetry::Tally;
use crate::telemetry::{CheckEvent, Timer};
use crate::verdict::Verdict;
use crate::{Blocked, Check, Decision, Unavailable};

impl Limiter {
    /// Returns statistics of the circuit breaker and of the backend.
    #[must_use]
    pub fn stats(&self) -> LimiterStats {
        let mut stats = LimiterStats {
            backend: self.shared.backend_name,
            breaker: self.shared.circuit.as_deref().map(Circuit::stats),
            lost_refunds: self.lost_settlements(),
            in_flight: 0,
            memory: None,
            #[cfg(feature = "redis")]
            redis: None,
        };
        self.each_permit_held(&mut |_, held| stats.in_flight += u64::from(held));
        match self.shared.gauges.as_ref().map(|gauges| gauges.read()) {
            Some(BackendStats::Memory(memory)) => stats.memory = Some(memory),
            #[cfg(feature = "redis")]
            Some(BackendStats::Redis(redis)) => stats.redis = Some(redis),
            None => {}
        }
        stats
    }

    /// Returns the counts that a dashboard shows. Counting starts at the first call.
    #[cfg(feature = "dashboard")]
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        let clock = || Arc::clone(self.shared.queue.clock());
        self.shared.telemetry.tally.get_or_init(|| Arc::new(Tally::new(clock())))
    }

    /// Returns the policies that were declared to the builder.
    #[cfg(feature = "dashboard")]
    pub(crate) fn declared(&self) -> &[Policy] {
        &self.shared.declared
    }

    /// Publishes the statistics of the backend and of the circuit breaker to the metrics recorder.
    /// With [`Metrics::servers`](crate::Metrics::servers), also publishes those of the Redis
    /// servers. Checks publish the same at intervals. Call this before an export, so that the
    /// exported values are current.
    #[cfg(feature = "metrics")]
    pub async fn record_metrics(&self) {
        self.shared.telemetry.publish(&self.stats());
        if self.shared.telemetry.wants_servers() {
            self.publish_servers().await;
        }
    }

    /// Publishes the same statistics without waiting for the servers: a background task asks them.
    #[cold]
    fn record_metrics_soon(&self) {
        self.shared.telemetry.publish(&self.stats());
        if self.shared.telemetry.wants_servers()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let limiter = self.clone();
            runtime.spawn(async move { limiter.publish_servers().await });
        }
    }

    async fn publish_servers(&self) {
        if let Some(gauges) = &self.shared.gauges {
            self.shared.telemetry.publish_servers(&gauges.ask_servers().await);
        }
    }

    /// Reports a check to telemetry, if a log, a hook or a counter needs it. `failure` is the
    /// reason why there is no verdict.
    #[inline]
    pub(super) fn observe(
        &self,
        timer: Timer,
        check: &Check<'_>,
        failure: Option<&Unavailable>,
        verdict: &Verdict,
    ) {
        let admitted = failure.is_none() && verdict.is_allowed();
        if self.shared.telemetry.has_listener(timer, check.policy, admitted) {
            self.notify(timer, &CheckEvent { check: *check, verdict, failure, waited: false });
        }
    }

    /// Reports the end of a wait in a queue.
    pub(super) fn observe_wait(
        &self,
        timer: Timer,
        check: &Check<'_>,
        waited: &Result<Decision, Unavailable>,
    ) {
        let none = Verdict::open();
        let (verdict, failure) = match waited {
            Ok(decision) => (decision.verdict(), None),
            Err(failure) => (&none, Some(failure)),
        };
        self.notify(timer, &CheckEvent { check: *check, verdict, failure, waited: true });
    }

    #[inline(never)]
    fn notify(&self, timer: Timer, event: &CheckEvent<'_>) {
        if self.shared.telemetry.record(timer, event) {
            self.record_metrics_soon();
        }
    }

    /// Calls the limiter's `on_blocked` function, if there is one.
    pub(crate) fn notify_blocked(&self, blocked: &Blocked<'_>) {
        if let Some(on_blocked) = &self.shared.telemetry.on_blocked {
            on_blocked(blocked);
        }
    }

    /// Calls the limiter's `on_blocked` function if the decision is a refusal.
    #[inline]
    pub(super) fn notify_refusal(&self, check: &Check<'_>, decision: &Decision) {
        if !decision.is_allowed() {
            self.notify_blocked(&Blocked::new(check, decision));
        }
    }
}
