//! Overrides: settings with which operators replace those of declared policies.

use std::fmt;
use std::time::Duration;

use super::origin::Origin;
use crate::policy::MAX_QUOTAS;
use crate::{Algorithm, OnError, Policy, Quota, QuotaError};

/// Settings that replace those of a declared policy. A setting that is not given stays as declared.
///
/// [`limit`](Self::limit), [`per`](Self::per) and [`burst`](Self::burst) are for policies with a
/// single quota. To override a policy with several quotas, pass all of them to
/// [`quotas`](Self::quotas).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    pub(crate) limit: Option<u32>,
    pub(crate) per: Option<Duration>,
    pub(crate) burst: Option<u32>,
    pub(crate) quotas: Option<Vec<Quota>>,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) shadow: Option<bool>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) enabled: Option<bool>,
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
    /// burst changes with the limit.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sets the length of the period.
    #[must_use]
    pub fn per(mut self, period: Duration) -> Self {
        self.per = Some(period);
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
    /// either mode, and its caller decides what to do.
    ///
    /// [`Limiter::check`]: crate::Limiter::check
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

    /// Returns the policy with these settings applied.
    pub(super) fn apply(&self, base: &Policy) -> Result<Policy, InvalidKey> {
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
        Ok(policy)
    }

    fn quotas_of(&self, base: &Policy) -> Result<Vec<Quota>, InvalidKey> {
        let single = [
            ("limit", self.limit.is_some()),
            ("per", self.per.is_some()),
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
        let limit = self.limit.unwrap_or(base.limit());
        let per = self.per.unwrap_or(base.period());
        let own_burst = (base.capacity() != base.limit()).then_some(base.capacity());
        quota(limit, per, self.burst.or(own_burst)).map_err(|error| {
            let key = match error {
                QuotaError::ZeroLimit => "limit",
                QuotaError::RateTooHigh if self.per.is_none() => "limit",
                QuotaError::BurstTooLarge if self.burst.is_none() && self.per.is_some() => "per",
                QuotaError::BurstTooLarge if self.burst.is_none() => "limit",
                QuotaError::ZeroBurst | QuotaError::BurstTooLarge => "burst",
                _ => "per",
            };
            (key, error.text().to_owned())
        })
    }
}

/// Creates a quota, or returns an error if the values are invalid. The default of `burst` is the
/// limit.
pub(crate) fn quota(limit: u32, per: Duration, burst: Option<u32>) -> Result<Quota, QuotaError> {
    let mut quota = Quota::try_new(limit, per)?;
    quota.set_burst(burst.unwrap_or(limit))?;
    Ok(quota)
}

/// The name of an invalid setting, and the reason why it is invalid.
pub(super) type InvalidKey = (&'static str, String);

/// Formats the settings for the audit log, as `key=value` pairs with the keys of a configuration.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, per, burst, quotas, algorithm, shadow, on_error, enabled, origin: _ } =
            self;
        let parts = [
            limit.map(|limit| format!("limit={limit}")),
            per.map(|per| format!("per={per:?}")),
            burst.map(|burst| format!("burst={burst}")),
            quotas.as_ref().map(|quotas| format!("quotas=[{}]", Listed(quotas))),
            algorithm.map(|algorithm| format!("algorithm={algorithm}")),
            shadow.map(|shadow| format!("shadow={shadow}")),
            on_error.map(|mode| format!("on_error={mode}")),
            enabled.map(|enabled| format!("enabled={enabled}")),
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
            write!(f, "{separator}{} per {:?}", quota.limit(), quota.period())?;
            if quota.capacity() != quota.limit() {
                write!(f, " burst {}", quota.capacity())?;
            }
        }
        Ok(())
    }
}
