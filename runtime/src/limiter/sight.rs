//! What a limiter lets be seen of itself.

#[cfg(feature = "dashboard")]
use std::sync::Arc;

use super::Limiter;
use crate::check::Check;
use crate::decision::Ruling;
use crate::guard::Circuit;
use crate::stats::{BackendStats, LimiterStats};
#[cfg(feature = "dashboard")]
use crate::telemetry::Tally;
use crate::telemetry::{CheckEvent, Timer};
use crate::{Blocked, Decision, Policy, Unavailable};

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
        self.shared.telemetry.publish(&self.stats());
        if self.shared.telemetry.wants_servers() {
            self.publish_servers().await;
        }
    }

    /// The same, but nobody waits for it.
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

    /// What came of a check.
    #[inline]
    pub(super) fn record(
        &self,
        timer: Timer,
        check: Check<'_>,
        failure: Option<&Unavailable>,
        ruling: &Ruling,
    ) {
        let admitted = failure.is_none() && ruling.is_allowed();
        if self.shared.telemetry.has_listener(timer, check.policy, admitted) {
            self.notify(timer, &CheckEvent { check, ruling, failure, waited: false });
        }
    }

    /// What came of waiting for a turn.
    pub(super) fn record_wait(
        &self,
        timer: Timer,
        check: Check<'_>,
        waited: &Result<Decision, Unavailable>,
    ) {
        let none = Ruling::open();
        let (ruling, failure) = match waited {
            Ok(decision) => (decision.ruling(), None),
            Err(failure) => (&none, Some(failure)),
        };
        self.notify(timer, &CheckEvent { check, ruling, failure, waited: true });
    }

    #[inline(never)]
    fn notify(&self, timer: Timer, event: &CheckEvent<'_>) {
        if self.shared.telemetry.record(timer, event) {
            self.record_metrics_soon();
        }
    }

    /// Tells who wants to know of a refusal.
    pub(crate) fn tell_blocked(&self, blocked: &Blocked<'_>) {
        if let Some(on_blocked) = &self.shared.telemetry.on_blocked {
            on_blocked(blocked);
        }
    }

    /// As [`tell_blocked`](Self::tell_blocked), if it is one.
    #[inline]
    pub(super) fn tell_of_refusal(&self, policy: &Policy, subject: &str, decision: &Decision) {
        if !decision.is_allowed() {
            self.tell_blocked(&Blocked::new(policy, subject, decision));
        }
    }
}
