//! Overrides: settings with which operators replace those of declared policies.

use std::fmt;
use std::time::Duration;

use smol_str::SmolStr;

use super::origin::Origin;
use crate::calendar::{Calendar, CalendarPeriod};
use crate::policy::MAX_QUOTAS;
use crate::{Algorithm, Ban, InFlight, OnError, Policy, Quota, QuotaError};

/// Settings that replace those of a declared policy. A setting that is not given stays as declared.
///
/// [`limit`](Self::limit), [`per`](Self::per) and [`burst`](Self::burst) are for policies with a
/// single quota. To override a policy with several quotas, pass all of them to
/// [`quotas`](Self::quotas).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    pub(crate) limit: Option<u32>,
    pub(crate) per: Option<Duration>,
    pub(crate) calendar: Option<(Calendar, SmolStr)>,
    pub(crate) burst: Option<u32>,
    pub(crate) quotas: Option<Vec<Quota>>,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) shadow: Option<bool>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) enabled: Option<bool>,
    pub(crate) block: Option<bool>,
    pub(crate) ban: Option<Option<Ban>>,
    pub(crate) in_flight: Option<u32>,
    pub(crate) origin: Origin,
}

impl Override {
    /// Creates an override that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the source of the override, which messages name.
    #[cfg(feature = "config")]
    pub(crate) fn read_from(mut self, place: &str) -> Self {
        self.origin = Origin::new(place);
        self
    }

    /// Sets the number of units per period. If the declared burst equals the declared limit, the
    /// burst changes with the limit. A limit of 0 is a [block](Self::block).
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sets the length of the period.
    #[must_use]
    pub fn per(mut self, period: Duration) -> Self {
        (self.per, self.calendar) = (Some(period), None);
        self
    }

    /// Sets the period to a unit of the calendar in the time zone of this name, such as
    /// `Europe/Berlin` or `UTC`. Only [`Algorithm::FixedWindow`] has such periods. An unknown zone is
    /// an error when the override is applied, and so is any without the feature `calendar`.
    #[must_use]
    pub fn calendar(mut self, calendar: Calendar, zone: impl AsRef<str>) -> Self {
        (self.per, self.calendar) = (None, Some((calendar, zone.as_ref().into())));
        self
    }

    /// Sets the size of the bucket in units, for algorithms that have one.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Replaces all quotas of the policy.
    #[must_use]
    pub fn quotas(mut self, quotas: impl IntoIterator<Item = Quota>) -> Self {
        self.quotas = Some(quotas.into_iter().collect());
        self
    }

    /// Sets the algorithm. If it has no bucket, a declared burst is dropped.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// Switches shadow mode on or off. In shadow mode the policy decides and reports, but never
    /// refuses.
    ///
    /// This applies to handlers, functions and layers. [`Limiter::check`] returns the decision in
    /// either mode, and its caller decides what to do: [`Decision::into_result`] makes no error of it
    /// in shadow mode. While the backend cannot answer, a check of a policy in shadow mode is admitted.
    ///
    /// [`Limiter::check`]: crate::Limiter::check
    /// [`Decision::into_result`]: crate::Decision::into_result
    #[must_use]
    pub fn shadow(mut self, on: bool) -> Self {
        self.shadow = Some(on);
        self
    }

    /// Sets the handling of requests while the backend cannot answer.
    #[must_use]
    pub fn on_error(mut self, mode: OnError) -> Self {
        self.on_error = Some(mode);
        self
    }

    /// Switches the policy on or off. While it is off, every request is admitted and none is
    /// counted.
    #[must_use]
    pub fn enabled(mut self, on: bool) -> Self {
        self.enabled = Some(on);
        self
    }

    /// Blocks the policy if `on` is `true`: nobody passes, whatever it costs and however long it
    /// waits ([`Outcome::Blocked`](crate::Outcome::Blocked)). Handlers and layers answer 403 without
    /// `Retry-After`. The backend is not asked, so a block holds in an outage, whatever
    /// [`on_error`](Self::on_error) says. In [shadow mode](Self::shadow) it is only reported.
    /// Requests that the policy does not count, for instance by `exempt`, pass.
    ///
    /// With `false` it lifts the block that another override has made: that of the policy, for one
    /// subject (see [`PerSubject`](crate::PerSubject)). No other setting does that.
    #[must_use]
    pub fn block(mut self, on: bool) -> Self {
        self.block = Some(on);
        self
    }

    /// Sets the rule by which subjects are banned; with `None` nobody is banned by the policy any
    /// more. Refusals that were counted before count for the new rule, and bans that are under way
    /// end when they would have ended: [`Limiter::unban`](crate::Limiter::unban) ends them earlier.
    #[must_use]
    pub fn ban(mut self, rule: impl Into<Option<Ban>>) -> Self {
        self.ban = Some(rule.into());
        self
    }

    /// Sets how many requests of a subject can be in flight at the same time, at least 1. The policy has
    /// to be declared with such a limit ([`Policy::in_flight`](crate::Policy::in_flight)). Permits
    /// that are held stay held, also if they are more.
    #[must_use]
    pub fn in_flight(mut self, limit: u32) -> Self {
        self.in_flight = Some(limit);
        self
    }

    /// Returns the number of requests per period, if it is set.
    #[must_use]
    pub const fn get_limit(&self) -> Option<u32> {
        self.limit
    }

    /// Returns the length of the period, if it is set.
    #[must_use]
    pub const fn get_per(&self) -> Option<Duration> {
        self.per
    }

    /// Returns the unit of the calendar and the name of the time zone, if they are set.
    #[must_use]
    pub fn get_calendar(&self) -> Option<(Calendar, &str)> {
        self.calendar.as_ref().map(|(calendar, zone)| (*calendar, zone.as_str()))
    }

    /// Returns the size of the bucket in units, if it is set.
    #[must_use]
    pub const fn get_burst(&self) -> Option<u32> {
        self.burst
    }

    /// Returns the quotas that replace those of the policy, if they are set.
    #[must_use]
    pub fn get_quotas(&self) -> Option<&[Quota]> {
        self.quotas.as_deref()
    }

    /// Returns the algorithm, if it is set.
    #[must_use]
    pub const fn get_algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Returns `true` or `false` if `shadow` is switched on or off.
    #[must_use]
    pub const fn get_shadow(&self) -> Option<bool> {
        self.shadow
    }

    /// Returns the handling of requests while the backend cannot answer, if it is set.
    #[must_use]
    pub const fn get_on_error(&self) -> Option<OnError> {
        self.on_error
    }

    /// Returns `true` or `false` if the policy is switched on or off.
    #[must_use]
    pub const fn get_enabled(&self) -> Option<bool> {
        self.enabled
    }

    /// Returns `true` or `false` if the policy is blocked, or a block is lifted, by
    /// [`block`](Self::block) or by a limit of 0.
    #[must_use]
    pub fn get_block(&self) -> Option<bool> {
        if self.limit == Some(0) { Some(true) } else { self.block }
    }

    /// Returns the rule by which subjects are banned, if it is set; `Some(None)` if nobody is
    /// banned.
    #[must_use]
    pub const fn get_ban(&self) -> Option<Option<Ban>> {
        self.ban
    }

    /// Returns the number of requests that can be in flight at the same time, if it is set.
    #[must_use]
    pub const fn get_in_flight(&self) -> Option<u32> {
        self.in_flight
    }

    /// Returns the policy with these settings applied.
    pub(super) fn apply(&self, base: &Policy) -> Result<Policy, InvalidKey> {
        if self.limit == Some(0) && self.block == Some(false) {
            let reason = "a limit of 0 blocks: raise it, or leave `block` out";
            return Err(("limit", reason.to_owned()));
        }
        let block = self.get_block();
        if block == Some(true) && self.enabled == Some(false) {
            let reason = "a policy that is off admits everybody, and a block nobody: leave one out";
            return Err(("enabled", reason.to_owned()));
        }
        let algorithm = self.algorithm.unwrap_or(base.get_algorithm());
        let mut policy = base.clone().algorithm(algorithm).with_quotas(&self.quotas_of(base)?);
        if !algorithm.has_bucket() {
            if self.burst.is_some() {
                let reason = format!(
                    "`{algorithm}` has no bucket: leave `burst` out, or set `algorithm` to \
                     `token_bucket`, `leaky_bucket` or `gcra`"
                );
                return Err(("burst", reason));
            }
            if self.algorithm.is_some() && self.quotas.is_none() {
                // The declared burst was meant for the other algorithm.
                policy = policy.map_quotas(|quota| quota.with_capacity(quota.limit()));
            }
        }
        if let Some(mode) = self.on_error {
            policy = policy.on_error(mode);
        }
        if let Some(on) = self.shadow {
            policy.set_shadow(on);
        }
        if let Some(on) = block {
            policy.set_blocked(on);
        }
        if let Some(rule) = self.ban {
            policy.set_ban(rule);
        }
        if let Some(limit) = self.in_flight {
            policy.set_in_flight(Some(in_flight_of(base, limit)?));
        }
        Ok(policy)
    }

    /// Returns the limit that replaces the declared one. A limit of 0 replaces none: it blocks.
    fn counted_limit(&self) -> Option<u32> {
        self.limit.filter(|limit| *limit > 0)
    }

    fn sets_period(&self) -> bool {
        self.per.is_some() || self.calendar.is_some()
    }

    /// Returns the calendar of the period, which is set or declared, unless a length is set.
    fn calendar_of(&self, base: &Quota) -> Result<Option<CalendarPeriod>, InvalidKey> {
        match &self.calendar {
            Some((calendar, zone)) => {
                let calendar = CalendarPeriod::parse(*calendar, zone);
                calendar.map(Some).map_err(|reason| ("per", reason))
            }
            None => Ok(base.calendar_period().filter(|_| self.per.is_none())),
        }
    }

    fn quotas_of(&self, base: &Policy) -> Result<Vec<Quota>, InvalidKey> {
        let is_limit_given = match self.quotas {
            Some(_) => self.limit.is_some(),
            // A block is meant for all quotas.
            None => self.counted_limit().is_some(),
        };
        let single = [
            ("limit", is_limit_given),
            ("per", self.sets_period()),
            ("burst", self.burst.is_some()),
        ];
        let single = single.into_iter().find_map(|(key, is_set)| is_set.then_some(key));
        match (&self.quotas, single) {
            (Some(_), Some(key)) => {
                Err((key, format!("`quotas` says it all: leave `{key}` out, or `quotas`")))
            }
            (Some(quotas), None) if !(1..=MAX_QUOTAS).contains(&quotas.len()) => {
                let count = quotas.len();
                Err(("quotas", format!("a policy has 1 to {MAX_QUOTAS} quotas, not {count}")))
            }
            (Some(quotas), None) => Ok(quotas.clone()),
            (None, None) => Ok(base.quotas().to_vec()),
            (None, Some(key)) => match base.quotas() {
                [] => Err((
                    key,
                    "this policy has no quota: it limits requests in flight, which `in_flight` changes"
                        .to_owned(),
                )),
                [quota] => Ok(vec![self.quota_of(quota)?]),
                quotas => Err((
                    key,
                    format!(
                        "this policy has {} quotas ({}): say all of them in `quotas`",
                        quotas.len(),
                        Listed(quotas)
                    ),
                )),
            },
        }
    }

    fn quota_of(&self, base: &Quota) -> Result<Quota, InvalidKey> {
        if base.is_blocked() && !self.sets_period() {
            let reason = "this policy is declared as blocked, so it has no period: say `per`, too";
            return Err(("per", reason.to_owned()));
        }
        let limit = self.counted_limit().unwrap_or(base.limit());
        let per = self.per.unwrap_or(base.period());
        let own_burst = (base.capacity() != base.limit()).then_some(base.capacity());
        let bare = match self.calendar_of(base)? {
            Some(calendar) => Quota::try_of_calendar(limit, calendar),
            None => Quota::try_new(limit, per),
        };
        bare.and_then(|quota| with_burst(quota, self.burst.or(own_burst))).map_err(|error| {
            let key = match error {
                QuotaError::ZeroLimit => "limit",
                QuotaError::RateTooHigh if self.per.is_none() => "limit",
                QuotaError::BurstTooLarge if self.burst.is_none() && self.sets_period() => "per",
                QuotaError::BurstTooLarge if self.burst.is_none() => "limit",
                QuotaError::ZeroBurst | QuotaError::BurstTooLarge => "burst",
                _ => "per",
            };
            (key, error.text().to_owned())
        })
    }
}

/// Returns the limit on requests in flight of the policy `base`, with another number.
fn in_flight_of(base: &Policy, limit: u32) -> Result<InFlight, InvalidKey> {
    let invalid = |reason: &str| ("in_flight", reason.to_owned());
    let declared = base.get_in_flight().ok_or_else(|| {
        invalid("this policy is declared without a limit on requests in flight, so nothing holds permits")
    })?;
    if limit == 0 {
        return Err(invalid(
            "at least 1 request must be allowed in flight: to admit nobody, block",
        ));
    }
    Ok(declared.with_limit(limit))
}

/// Sets a burst, or returns an error if it is invalid. The default is the limit.
pub(super) fn with_burst(mut quota: Quota, burst: Option<u32>) -> Result<Quota, QuotaError> {
    quota.set_burst(burst.unwrap_or(quota.limit()))?;
    Ok(quota)
}

/// The name of an invalid setting, and the reason why it is invalid.
pub(super) type InvalidKey = (&'static str, String);

/// Formats the settings for the audit log, as `key=value` pairs with the keys of a configuration.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, per, burst, quotas, algorithm, shadow, on_error, .. } = self;
        let Self { enabled, block, ban, calendar, in_flight, .. } = self;
        let parts = [
            limit.map(|limit| format!("limit={limit}")),
            per.map(|per| format!("per={per:?}")),
            calendar.as_ref().map(|(calendar, zone)| format!("per=[{calendar} in {zone}]")),
            burst.map(|burst| format!("burst={burst}")),
            quotas.as_ref().map(|quotas| format!("quotas=[{}]", Listed(quotas))),
            algorithm.map(|algorithm| format!("algorithm={algorithm}")),
            shadow.map(|shadow| format!("shadow={shadow}")),
            on_error.map(|mode| format!("on_error={mode}")),
            enabled.map(|enabled| format!("enabled={enabled}")),
            block.map(|block| format!("block={block}")),
            ban.map(|rule| rule.map_or("ban=false".to_owned(), |rule| format!("ban=[{rule}]"))),
            in_flight.map(|limit| format!("in_flight={limit}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(" "))
    }
}

/// Formats quotas for messages and for the audit log.
struct Listed<'a>(&'a [Quota]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, quota) in self.0.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            f.write_str(separator)?;
            if quota.is_blocked() {
                f.write_str("blocked")?;
                continue;
            }
            write!(f, "{} per {}", quota.limit(), quota.period_text())?;
            if quota.capacity() != quota.limit() {
                write!(f, " burst {}", quota.capacity())?;
            }
        }
        Ok(())
    }
}
