//! Overrides: what an operator says of a policy instead of what the program says.

mod current;
mod error;
mod per_subject;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub(crate) use self::current::{Current, Overridden};
pub use self::error::{OverrideMistake, OverridesError};
pub use self::per_subject::PerSubject;
pub(crate) use self::per_subject::Subjects;
pub(crate) use self::table::Table;
use crate::policy::MAX_QUOTAS;
use crate::{Algorithm, OnError, Policy, Quota, QuotaError};

/// What is said of one policy instead of what the program says; the rest stays as it is.
///
/// [`limit`](Self::limit), [`per`](Self::per) and [`burst`](Self::burst) are for policies with
/// one quota. Of one with several, [`quotas`](Self::quotas) says all.
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
}

impl Override {
    /// One that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits so many requests per period. A burst that was the limit goes with it.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Counts in periods of this length.
    #[must_use]
    pub fn per(mut self, period: Duration) -> Self {
        self.per = Some(period);
        self
    }

    /// Sets the size of the bucket, of algorithms that have one.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Has these quotas, whatever there were.
    #[must_use]
    pub fn quotas(mut self, quotas: impl IntoIterator<Item = Quota>) -> Self {
        self.quotas = Some(quotas.into_iter().collect());
        self
    }

    /// Counts by this algorithm. One without a bucket has no burst.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// Whether it only decides and reports, or refuses.
    ///
    /// This is a matter of handlers, functions and layers: who calls [`Limiter::check`] is told
    /// what was decided, as ever.
    ///
    /// [`Limiter::check`]: crate::Limiter::check
    #[must_use]
    pub fn shadow(mut self, on: bool) -> Self {
        self.shadow = Some(on);
        self
    }

    /// What happens while the backend cannot answer.
    #[must_use]
    pub fn on_error(mut self, mode: OnError) -> Self {
        self.on_error = Some(mode);
        self
    }

    /// Whether it is in force at all. If not, every request passes, uncounted.
    #[must_use]
    pub fn enabled(mut self, on: bool) -> Self {
        self.enabled = Some(on);
        self
    }

    /// Makes of a policy what this says.
    fn apply(&self, base: &Policy) -> Result<Policy, Mistake> {
        let algorithm = self.algorithm.unwrap_or(base.get_algorithm());
        let mut policy = base.clone().algorithm(algorithm).with_quotas(&self.quotas_of(base)?);
        if !algorithm.has_bucket() {
            if self.burst.is_some() {
                let reason = format!(
                    "`{}` has no bucket: leave `burst` out, or set `algorithm` to \
                     `token_bucket`, `leaky_bucket` or `gcra`",
                    algorithm.name()
                );
                return Err(("burst", reason));
            }
            if self.algorithm.is_some() && self.quotas.is_none() {
                // The burst was the other algorithm's.
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

    fn quotas_of(&self, base: &Policy) -> Result<Vec<Quota>, Mistake> {
        let one = [
            ("limit", self.limit.is_some()),
            ("per", self.per.is_some()),
            ("burst", self.burst.is_some()),
        ];
        let one = one.into_iter().find_map(|(key, is_set)| is_set.then_some(key));
        match (&self.quotas, one) {
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

    fn quota_of(&self, base: &Quota) -> Result<Quota, Mistake> {
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

/// A quota from numbers that may be anything.
pub(crate) fn quota(limit: u32, per: Duration, burst: Option<u32>) -> Result<Quota, QuotaError> {
    let mut quota = Quota::try_new(limit, per)?;
    quota.set_burst(burst.unwrap_or(limit))?;
    Ok(quota)
}

/// The key that is wrong, and why.
type Mistake = (&'static str, String);

/// For the audit: what it changes, as it would be configured.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, per, burst, quotas, algorithm, shadow, on_error, enabled } = self;
        let parts = [
            limit.map(|limit| format!("limit={limit}")),
            per.map(|per| format!("per={per:?}")),
            burst.map(|burst| format!("burst={burst}")),
            quotas.as_ref().map(|quotas| format!("quotas=[{}]", Listed(quotas))),
            algorithm.map(|algorithm| format!("algorithm={}", algorithm.name())),
            shadow.map(|shadow| format!("shadow={shadow}")),
            on_error.map(|mode| format!("on_error={}", mode.name())),
            enabled.map(|enabled| format!("enabled={enabled}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(" "))
    }
}

/// Quotas in words.
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

/// What is said of policies, by their names: give it to
/// [`Limiter::set_overrides`](crate::Limiter::set_overrides).
///
/// ```
/// use tollgate::{Limiter, MemoryBackend, Override, Overrides, Policy, Quota};
/// use std::time::Duration;
///
/// const SEARCH: Policy = Policy::new("search", Quota::new(10, Duration::from_secs(60)));
///
/// let limiter = Limiter::builder(MemoryBackend::new()).declare(SEARCH).build();
/// limiter.set_overrides(Overrides::new().with("search", Override::new().limit(5)))?;
/// # Ok::<_, tollgate::OverridesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    by_name: BTreeMap<String, Override>,
}

impl Overrides {
    /// None: every policy is as the program has it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Overrides the policy of this name, instead of what was said of it before.
    #[must_use]
    pub fn with(mut self, policy: impl Into<String>, changes: Override) -> Self {
        self.by_name.insert(policy.into(), changes);
        self
    }

    /// Leaves the policy of this name as the program has it.
    #[must_use]
    pub fn without(mut self, policy: &str) -> Self {
        self.by_name.remove(policy);
        self
    }

    /// What is said of the policy of this name, if anything.
    #[must_use]
    pub fn get(&self, policy: &str) -> Option<&Override> {
        self.by_name.get(policy)
    }

    /// All of them, by the policies' names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        self.by_name.iter().map(|(name, changes)| (name.as_str(), changes))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
