//! Observability for operators: the arguments of their hooks.
//!
//! Events go to `tracing`. With the feature `metrics`, `Metrics` publishes counters and histograms.

// The module holds log events, hooks and, with the features `metrics` and `dashboard`, metrics and
// the figures of the dashboard.

#[cfg(feature = "metrics")]
mod meter;
#[cfg(feature = "metrics")]
mod names;
mod near_limit;
#[cfg(feature = "metrics")]
pub(crate) mod settings;
mod shadow_log;
#[cfg(feature = "dashboard")]
mod tally;

use std::error::Error;
use std::sync::Arc;
#[cfg(feature = "dashboard")]
use std::sync::OnceLock;
#[cfg(feature = "redis")]
use std::time::Duration;

use quanta::Instant;
use tracing::Level;
use tracing::level_filters::LevelFilter;

#[cfg(feature = "metrics")]
pub(crate) use self::meter::Meter;
pub use self::near_limit::NearLimit;
#[cfg(feature = "metrics")]
pub(crate) use self::settings::Metrics;
pub(crate) use self::shadow_log::ShadowLog;
#[cfg(feature = "dashboard")]
pub(crate) use self::tally::{DecisionCounts, SECONDS, Tally};
use crate::check::Check;
use crate::stats::{LimiterStats, ServerStats};
use crate::verdict::Verdict;
use crate::{Blocked, Clock, Policy, Unavailable};

/// The default of the fraction that decides if an admission is near the limit: less than this
/// fraction of a quota remains after the admission.
const NEAR: f64 = 0.1;

pub(crate) type BlockedHook = Arc<dyn Fn(&Blocked<'_>) + Send + Sync>;
pub(crate) type NearLimitHook = Arc<dyn Fn(&NearLimit<'_>) + Send + Sync>;

/// The recipients of events about a limiter's checks: hooks, metrics and the dashboard.
pub(crate) struct Telemetry {
    pub(crate) on_blocked: Option<BlockedHook>,
    pub(crate) on_near_limit: Option<NearLimitHook>,
    pub(crate) near: f64,
    pub(crate) shadow_log: ShadowLog,
    /// `None` if metrics are switched off.
    #[cfg(feature = "metrics")]
    pub(crate) meter: Option<Meter>,
    /// The counts for the dashboard. Empty until a dashboard is created.
    #[cfg(feature = "dashboard")]
    pub(crate) tally: OnceLock<Arc<Tally>>,
}

/// The time at which a check started; `None` if its duration is not recorded.
#[derive(Clone, Copy)]
pub(crate) struct Timer(Option<Instant>);

impl Telemetry {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            on_blocked: None,
            on_near_limit: None,
            near: NEAR,
            shadow_log: ShadowLog::new(clock),
            #[cfg(feature = "metrics")]
            meter: None,
            #[cfg(feature = "dashboard")]
            tally: OnceLock::new(),
        }
    }

    /// Starts the timer of a check.
    #[inline]
    pub(crate) fn start_timer(&self) -> Timer {
        Timer(self.is_timed().then(Instant::now))
    }

    /// Returns `true` if the durations of checks are recorded, for metrics or for the dashboard.
    #[inline]
    fn is_timed(&self) -> bool {
        #[cfg(feature = "metrics")]
        if self.meter.is_some() && meter::has_recorder() {
            return true;
        }
        #[cfg(feature = "dashboard")]
        if self.tally.get().is_some() {
            return true;
        }
        false
    }

    /// Returns `true` if the outcome of a check has to be recorded. Without metrics, dashboard and
    /// hooks this is rare.
    #[inline]
    pub(crate) fn has_listener(&self, timer: Timer, policy: &Policy, admitted: bool) -> bool {
        let of_outcome =
            if admitted { self.on_near_limit.is_some() } else { logs_refusals(policy) };
        of_outcome || timer.0.is_some()
    }

    /// Records the outcome of a check: logs it, calls the near-limit hook and counts it. Returns
    /// `true` if it is time to [publish](Self::publish) the limiter's statistics.
    pub(crate) fn record(&self, timer: Timer, event: &CheckEvent<'_>) -> bool {
        if !event.is_admission() {
            if logs_refusals(event.check.policy) {
                event.log(&self.shadow_log);
            }
        } else if let Some(on_near_limit) = &self.on_near_limit
            && let Some(near) = NearLimit::of(event, self.near)
        {
            on_near_limit(&near);
        }
        match timer {
            Timer(Some(start)) => self.count(start, event),
            Timer(None) => false,
        }
    }

    fn count(&self, start: Instant, event: &CheckEvent<'_>) -> bool {
        let now = Instant::now();
        #[cfg(feature = "dashboard")]
        if let Some(tally) = self.tally.get() {
            tally.record(event, now.duration_since(start));
        }
        #[cfg(feature = "metrics")]
        if let Some(meter) = &self.meter {
            return meter.record(start, now, event, self.near);
        }
        let _ = (now, start, event);
        false
    }

    /// Passes statistics to the metrics recorder.
    pub(crate) fn publish(&self, stats: &LimiterStats) {
        #[cfg(feature = "metrics")]
        if let Some(meter) = &self.meter {
            meter.publish(stats);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = stats;
    }

    /// Returns `true` if the metrics include the state of the backend's servers.
    pub(crate) fn wants_servers(&self) -> bool {
        #[cfg(feature = "metrics")]
        return self.meter.as_ref().is_some_and(Meter::wants_servers);
        #[cfg(not(feature = "metrics"))]
        false
    }

    /// Passes the state of the backend's servers to the metrics recorder.
    pub(crate) fn publish_servers(&self, servers: &[ServerStats]) {
        #[cfg(feature = "metrics")]
        if let Some(meter) = &self.meter {
            meter.publish_servers(servers);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = servers;
    }
}

/// Returns `true` if refusals by this policy are logged at the present log level.
#[inline]
fn logs_refusals(policy: &Policy) -> bool {
    let level = if policy.is_shadow() { Level::INFO } else { Level::DEBUG };
    level <= LevelFilter::current()
}

/// A check with its outcome: the verdict, or the failure if there is no verdict.
pub(crate) struct CheckEvent<'a> {
    pub(crate) check: Check<'a>,
    pub(crate) verdict: &'a Verdict,
    pub(crate) failure: Option<&'a Unavailable>,
    /// `true` if the caller waited in a queue.
    pub(crate) waited: bool,
}

impl CheckEvent<'_> {
    fn is_admission(&self) -> bool {
        self.failure.is_none() && self.verdict.is_allowed()
    }

    #[cold]
    fn log(&self, shadow_log: &ShadowLog) {
        let Self { check: Check { policy, subject, .. }, waited, .. } = *self;
        let name = policy.name();
        if let Some(error) = self.failure {
            let error: &(dyn Error + 'static) = error;
            tracing::debug!(policy = name, error, "a rate limit could not be checked");
            return;
        }
        let not_told = if policy.is_shadow() { shadow_log.count(name) } else { None };
        if not_told.is_some() {
            tracing::info!(
                policy = name,
                subject,
                outcome = self.verdict.outcome().as_str(),
                source = self.verdict.source().as_str(),
                retry_after = self.retry_after_seconds(),
                waited,
                not_told,
                "a shadow limit would have refused"
            );
            return;
        }
        tracing::debug!(
            policy = name,
            subject,
            outcome = self.verdict.outcome().as_str(),
            source = self.verdict.source().as_str(),
            retry_after = self.retry_after_seconds(),
            waited,
            shadow = policy.is_shadow(),
            "refused"
        );
    }

    fn retry_after_seconds(&self) -> Option<f64> {
        self.verdict.outcome().retry_after().map(|duration| duration.as_secs_f64())
    }
}

/// Records a call to a Redis server: the number of its operations, and its duration.
#[cfg(feature = "redis")]
pub(crate) fn round_trip(checks: usize, took: Duration) {
    #[cfg(feature = "metrics")]
    meter::round_trip(checks, took);
    #[cfg(not(feature = "metrics"))]
    let _ = (checks, took);
}

/// Records the time that it took to obtain a connection to a Redis server.
#[cfg(feature = "redis")]
pub(crate) fn connected(took: Duration) {
    #[cfg(feature = "metrics")]
    meter::connected(took);
    #[cfg(not(feature = "metrics"))]
    let _ = took;
}
