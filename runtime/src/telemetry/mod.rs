//! What an operator sees of a limiter: events, hooks and, with the features `metrics` and
//! `dashboard`, metrics and what a dashboard shows.

#[cfg_attr(not(feature = "metrics"), path = "no_meter.rs")]
mod meter;
#[cfg(feature = "metrics")]
mod names;
mod near_limit;
#[cfg(feature = "metrics")]
mod settings;
#[cfg_attr(not(feature = "dashboard"), path = "no_tally.rs")]
mod tally;

use std::error::Error;
use std::sync::Arc;
#[cfg(feature = "dashboard")]
use std::sync::OnceLock;

use quanta::Instant;
use tracing::Level;
use tracing::level_filters::LevelFilter;

pub(crate) use self::meter::Meter;
#[cfg(feature = "redis")]
pub(crate) use self::meter::{connected, round_trip};
pub use self::near_limit::NearLimit;
#[cfg(feature = "metrics")]
pub use self::settings::Metrics;
pub(crate) use self::tally::Tally;
#[cfg(feature = "dashboard")]
pub(crate) use self::tally::{Counts, SECONDS};
use crate::Verdict;
use crate::{Blocked, Policy, Unavailable};

/// How little may remain of a quota for an admission to be near the limit, as a part of it, where
/// nobody says otherwise.
const NEAR: f64 = 0.1;

pub(crate) type BlockedHook = Arc<dyn Fn(&Blocked<'_>) + Send + Sync>;
pub(crate) type NearLimitHook = Arc<dyn Fn(&NearLimit<'_>) + Send + Sync>;

/// What is told of each check, and to whom.
pub(crate) struct Telemetry {
    pub(crate) on_blocked: Option<BlockedHook>,
    pub(crate) on_near_limit: Option<NearLimitHook>,
    pub(crate) near: f64,
    /// `None`: nobody counts.
    pub(crate) meter: Option<Meter>,
    /// Empty: nobody has made a dashboard.
    #[cfg(feature = "dashboard")]
    pub(crate) tally: OnceLock<Arc<Tally>>,
}

/// When a check began, if somebody wants to know how long it takes.
#[derive(Clone, Copy)]
pub(crate) struct Watch(Option<Instant>);

impl Telemetry {
    pub(crate) fn new() -> Self {
        Self {
            on_blocked: None,
            on_near_limit: None,
            near: NEAR,
            meter: None,
            #[cfg(feature = "dashboard")]
            tally: OnceLock::new(),
        }
    }

    #[cfg(feature = "dashboard")]
    #[inline]
    fn tally(&self) -> Option<&Arc<Tally>> {
        self.tally.get()
    }

    #[cfg(not(feature = "dashboard"))]
    #[inline]
    fn tally(&self) -> Option<&Tally> {
        None
    }

    /// A check begins.
    #[inline]
    pub(crate) fn watch(&self) -> Watch {
        let metered = self.meter.as_ref().and_then(Meter::watch);
        Watch(metered.or_else(|| self.tally().map(|_| Instant::now())))
    }

    /// Whether anybody is to be told of a check: most who run a service have all that switched off.
    #[inline]
    pub(crate) fn has_listener(&self, watch: Watch, policy: &Policy, admitted: bool) -> bool {
        let of_outcome =
            if admitted { self.on_near_limit.is_some() } else { logs_refusals(policy) };
        of_outcome || watch.0.is_some()
    }

    /// What came of a check. It says whether it is time to read the instruments.
    pub(crate) fn note(&self, watch: Watch, told: &Told<'_>) -> bool {
        if !told.is_admission() {
            if logs_refusals(told.policy) {
                told.log();
            }
        } else if let Some(on_near_limit) = &self.on_near_limit
            && let Some(near) = NearLimit::of(told, self.near)
        {
            on_near_limit(&near);
        }
        match watch {
            Watch(Some(since)) => self.count(since, told),
            Watch(None) => false,
        }
    }

    fn count(&self, since: Instant, told: &Told<'_>) -> bool {
        let now = Instant::now();
        if let Some(tally) = self.tally() {
            tally.note(told, now.duration_since(since));
        }
        self.meter.as_ref().is_some_and(|meter| meter.count(since, now, told, self.near))
    }
}

/// Whether an event of a refusal can interest anybody.
#[inline]
fn logs_refusals(policy: &Policy) -> bool {
    let level = if policy.is_shadow() { Level::INFO } else { Level::DEBUG };
    level <= LevelFilter::current()
}

/// What came of a check.
pub(crate) struct Told<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) subject: &'a str,
    pub(crate) verdict: &'a Verdict,
    pub(crate) failure: Option<&'a Unavailable>,
    /// Whether it was a wait for a turn.
    pub(crate) waited: bool,
}

impl Told<'_> {
    fn is_admission(&self) -> bool {
        self.failure.is_none() && self.verdict.is_allowed()
    }

    #[cold]
    fn log(&self) {
        let Self { policy, subject, waited, .. } = *self;
        let name = policy.name();
        if let Some(error) = self.failure {
            let error: &(dyn Error + 'static) = error;
            tracing::debug!(policy = name, error, "a rate limit could not be checked");
            return;
        }
        if policy.is_shadow() {
            tracing::info!(
                policy = name,
                subject,
                outcome = self.verdict.outcome().name(),
                source = self.verdict.source().name(),
                retry_after = self.retry_after_seconds(),
                waited,
                "a shadow limit would have refused"
            );
        } else {
            tracing::debug!(
                policy = name,
                subject,
                outcome = self.verdict.outcome().name(),
                source = self.verdict.source().name(),
                retry_after = self.retry_after_seconds(),
                waited,
                "refused"
            );
        }
    }

    fn retry_after_seconds(&self) -> Option<f64> {
        self.verdict.outcome().retry_after().map(|span| span.as_secs_f64())
    }
}
