//! Observation: statistics, metrics and the hooks that hear of each check.

#[cfg(feature = "dashboard")]
use std::sync::Arc;

use super::Limiter;
#[cfg(feature = "dashboard")]
use crate::Policy;
use crate::backend::BackendStats;
use crate::guard::Circuit;
#[cfg(feature = "dashboard")]
use crate::telemetry::Tally;
use crate::telemetry::{Meter, Told, Watch};
use crate::{Blocked, BreakerStats, Check, Decision, MemoryStats, Unavailable, Verdict};

/// What a limiter's parts have been doing.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LimiterStats {
    /// The backend's [name](crate::Backend::name).
    pub backend: &'static str,
    /// The circuit breaker; `None` if there is none, as before a backend in memory.
    pub breaker: Option<BreakerStats>,
    /// The backend, if it is one in memory.
    pub memory: Option<MemoryStats>,
    /// The backend, if it is a Redis.
    #[cfg(feature = "redis")]
    pub redis: Option<crate::RedisStats>,
}

impl Limiter {
    /// What its parts have been doing: the circuit breaker, and the backend.
    #[must_use]
    pub fn stats(&self) -> LimiterStats {
        let mut stats = LimiterStats {
            backend: self.shared.backend_name,
            breaker: self.shared.circuit.as_deref().map(Circuit::stats),
            memory: None,
            #[cfg(feature = "redis")]
            redis: None,
        };
        match self.shared.gauges.as_ref().map(|gauges| gauges.read()) {
            Some(BackendStats::Memory(memory)) => stats.memory = Some(memory),
            #[cfg(feature = "redis")]
            Some(BackendStats::Redis(redis)) => stats.redis = Some(redis),
            None => {}
        }
        stats
    }

    /// What a dashboard shows. It is counted from the first time that it is asked for.
    #[cfg(feature = "dashboard")]
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        let clock = || Arc::clone(self.shared.queue.clock());
        self.shared.telemetry.tally.get_or_init(|| Arc::new(Tally::new(clock())))
    }

    /// The policies that the builder was told of.
    #[cfg(feature = "dashboard")]
    pub(crate) fn declared(&self) -> &[Policy] {
        &self.shared.declared
    }

    /// Reads the instruments of the backend and the circuit breaker, and tells the recorder, as
    /// happens now and then on a check; if [`Metrics::servers`](crate::Metrics::servers) says so,
    /// also those of the servers. Call it before the metrics are shown to somebody.
    #[cfg(feature = "metrics")]
    pub async fn record_metrics(&self) {
        let Some(meter) = &self.shared.telemetry.meter else { return };
        meter.publish(&self.stats());
        if meter.asks_servers() {
            self.ask_servers(meter).await;
        }
    }

    /// The same, but nobody waits for it.
    #[cold]
    fn record_metrics_soon(&self) {
        let Some(meter) = &self.shared.telemetry.meter else { return };
        meter.publish(&self.stats());
        if meter.asks_servers()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let limiter = self.clone();
            runtime.spawn(async move {
                if let Some(meter) = &limiter.shared.telemetry.meter {
                    limiter.ask_servers(meter).await;
                }
            });
        }
    }

    async fn ask_servers(&self, meter: &Meter) {
        if let Some(gauges) = &self.shared.gauges {
            meter.publish_servers(&gauges.ask_servers().await);
        }
    }

    /// Reports a check to telemetry, if anything listens.
    #[inline]
    pub(super) fn observe(
        &self,
        watch: Watch,
        check: &Check<'_>,
        failure: Option<&Unavailable>,
        verdict: &Verdict,
    ) {
        let admitted = failure.is_none() && verdict.is_allowed();
        if self.shared.telemetry.has_listener(watch, check.policy, admitted) {
            let Check { policy, subject, .. } = *check;
            self.tell(watch, &Told { policy, subject, verdict, failure, waited: false });
        }
    }

    /// Reports the end of a wait in line.
    pub(super) fn observe_wait(
        &self,
        watch: Watch,
        check: &Check<'_>,
        waited: &Result<Decision, Unavailable>,
    ) {
        let none = Verdict::open();
        let (verdict, failure) = match waited {
            Ok(decision) => (decision.verdict(), None),
            Err(failure) => (&none, Some(failure)),
        };
        let Check { policy, subject, .. } = *check;
        self.tell(watch, &Told { policy, subject, verdict, failure, waited: true });
    }

    #[inline(never)]
    fn tell(&self, watch: Watch, told: &Told<'_>) {
        if self.shared.telemetry.note(watch, told) {
            self.record_metrics_soon();
        }
    }

    /// Calls the limiter's hook for refusals.
    pub(crate) fn notify_blocked(&self, blocked: &Blocked<'_>) {
        if let Some(on_blocked) = &self.shared.telemetry.on_blocked {
            on_blocked(blocked);
        }
    }

    /// Calls the limiter's hook if the decision is a refusal.
    #[inline]
    pub(super) fn notify_refusal(&self, check: &Check<'_>, decision: &Decision) {
        if !decision.is_allowed() {
            self.notify_blocked(&Blocked::new(check, decision));
        }
    }
}
