//! The settings of the local tier: the decisions that a limiter makes without asking its store.

use std::time::Duration;

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(1);
const DEFAULT_MAX_KEYS: usize = 100_000;
const DEFAULT_HOLD: Duration = Duration::from_secs(1);

#[doc = include_str!("../docs/local_tier.md")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTier {
    /// The longest time for which the deny cache reuses a refusal; `None` if there is no deny
    /// cache.
    pub(super) max_age: Option<Duration>,
    pub(super) max_keys: usize,
    /// The maximum number of units in one lease. If it is less than 2, there are no leases.
    pub(super) lease: u32,
    /// The longest time for which the units of a lease may be spent.
    pub(super) hold: Duration,
}

impl LocalTier {
    /// Creates a tier with a deny cache and without leases. This is the default of every limiter.
    #[must_use]
    pub fn deny_cache() -> Self {
        Self { max_age: Some(DEFAULT_MAX_AGE), ..Self::none() }
    }

    /// Creates a tier with neither a deny cache nor leases, so that the store makes every decision.
    #[must_use]
    pub fn none() -> Self {
        Self { max_age: None, max_keys: DEFAULT_MAX_KEYS, lease: 0, hold: DEFAULT_HOLD }
    }

    /// Sets the longest time for which the deny cache reuses one refusal of the store; 1 second by
    /// default. Zero turns the deny cache off.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = (!max_age.is_zero()).then_some(max_age);
        self
    }

    /// Sets the maximum number of keys in the deny cache, at least 1; 100,000 by default. There can
    /// be leases for as many keys again. A key takes about 200 bytes, and more if its subject is
    /// longer than 23 bytes or its policy has several quotas.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys.max(1);
        self
    }

    /// Sets the maximum number of units that a lease of a hot key contains. With 0 (the default)
    /// or 1 there are no leases.
    #[must_use]
    pub fn lease(mut self, max: u32) -> Self {
        self.lease = max;
        self
    }

    /// Sets the longest time for which the units of a lease may be spent; 1 second by default. It
    /// is never more than a tenth of the policy's shortest period.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }
}

impl Default for LocalTier {
    fn default() -> Self {
        Self::deny_cache()
    }
}
