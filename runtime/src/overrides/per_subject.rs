//! Overrides of single subjects, which the program computes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Override;
use super::derived::{DerivedPolicies, DerivedPolicy, FindUnsupported};
use super::effective::EffectivePolicy;
use crate::guard::{BoundedMap, HashedKey};
use crate::micros::{TimeSpan, Timestamp};
use crate::named_subject::NamedSubject;
use crate::{Check, Clock, Policy};

const DEFAULT_MAX_KEYS: usize = 100_000;
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
/// The shortest time after which the function is called again for somebody who waits.
const LEAST_RELOOK: TimeSpan = TimeSpan::from_micros(1_000_000);

type SubjectFn = dyn Fn(&Policy, &str) -> Option<Override> + Send + Sync;

/// Overrides that depend on the subject, for example on a customer's plan. Pass them to
/// [`LimiterBuilder::per_subject`](crate::LimiterBuilder::per_subject).
///
/// ```
/// use tollgate::{Limiter, MemoryBackend, Override, PerSubject};
///
/// fn is_pro(customer: &str) -> bool {
///     customer.starts_with("pro-")
/// }
///
/// let plans = PerSubject::new(|policy, customer| {
///     (policy.name() == "searches" && is_pro(customer)).then(|| Override::new().limit(1_000))
/// });
/// let limiter = Limiter::builder(MemoryBackend::new()).per_subject(plans).build();
/// ```
///
/// The function receives the policy in effect, and the subject under which its requests are
/// counted ([`Limiter::subject_text`](crate::Limiter::subject_text)): an address, the result of a key
/// function, or the hash of a credential. If it returns
/// `None`, the policy does not change. An override that it returns is applied after the override of
/// the policy (see [`Limiter::set_overrides`](crate::Limiter::set_overrides)), so a limit that it
/// sets takes precedence. When a subject changes to another plan, its earlier requests remain
/// counted.
///
/// Of a subject that is suspended nothing passes: [`Override::block`], a limit of 0, or a quota that
/// is [`Quota::BLOCKED`](crate::Quota::BLOCKED).
///
/// An invalid override, for example one with a period of more than 366 days, is logged as an error,
/// and never admits more than the policy in effect. The subject gets no more than both admit; with a
/// burst of 0 it is blocked ([`Outcome::Blocked`](crate::Outcome)).
///
/// The results are cached for a bounded number of subjects and for a bounded time. The function is
/// called during a request, so it has to be quick: look the plan up in memory. Callers that wait
/// (see [`Limiter::wait`](crate::Limiter::wait)) ask again when the cached result is too old, but at
/// most once a second.
#[derive(Clone)]
pub struct PerSubject {
    function: Arc<SubjectFn>,
    named: Vec<NamedOverride>,
    max_age: Duration,
    max_keys: usize,
}

/// The override of a policy for a subject that is named.
#[derive(Clone)]
struct NamedOverride {
    policy: String,
    subject: NamedSubject,
    changes: Override,
}

/// Creates settings by which no subject has an override, to which
/// [`with`](PerSubject::with) adds some.
impl Default for PerSubject {
    fn default() -> Self {
        Self::new(|_, _| None)
    }
}

impl PerSubject {
    /// Creates the settings. `function` returns a subject's override, or `None` if the policy
    /// applies unchanged.
    #[must_use]
    pub fn new(
        function: impl Fn(&Policy, &str) -> Option<Override> + Send + Sync + 'static,
    ) -> Self {
        let (max_age, max_keys) = (DEFAULT_MAX_AGE, DEFAULT_MAX_KEYS);
        Self { function: Arc::new(function), named: Vec::new(), max_age, max_keys }
    }

    /// Adds an override of the policy of this name for one subject, for which the function is not
    /// called then. It replaces an existing one for the same policy and subject.
    ///
    /// ```
    /// use tollgate::{Override, PerSubject, Subject};
    ///
    /// let customers = PerSubject::default()
    ///     .with("searches", Subject::header("x-api-key", "4711"), Override::new().limit(1_000))
    ///     .with("searches", Subject::header("x-api-key", "4712"), Override::new().block(true));
    /// ```
    #[must_use]
    pub fn with(
        mut self,
        policy: impl Into<String>,
        subject: impl Into<NamedSubject>,
        changes: Override,
    ) -> Self {
        self.named.push(NamedOverride { policy: policy.into(), subject: subject.into(), changes });
        self
    }

    /// Sets the time for which a result is cached. The default is 1 minute.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets the largest number of results that are cached, at least 1. There is one result for each
    /// policy and subject. The default is 100,000.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys.max(1);
        self
    }
}

impl fmt::Debug for PerSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function: _, named, max_age, max_keys } = self;
        f.debug_struct("PerSubject")
            .field("named", &named.len())
            .field("max_age", max_age)
            .field("max_keys", max_keys)
            .finish_non_exhaustive()
    }
}

/// The overrides of single subjects in one limiter: the function, and a cache of its results.
pub(crate) struct SubjectOverrides {
    function: Arc<SubjectFn>,
    /// The overrides of subjects that are named, by policy and text.
    named: HashMap<String, HashMap<String, Override>>,
    max_age: TimeSpan,
    clock: Arc<dyn Clock>,
    cache: BoundedMap<CachedResult>,
    /// The derived policies. Subjects with the same plan share one.
    derived: DerivedPolicies,
}

/// A cached result of the function: the policy derived from it, or `None` if the policy does not
/// change.
struct CachedResult {
    derived: Option<Arc<DerivedPolicy>>,
    /// The time at which the function was called.
    called_at: Timestamp,
}

/// A lookup of the policy in effect for a subject.
struct Lookup<'a> {
    key: HashedKey<'a>,
    now: Timestamp,
}

impl SubjectOverrides {
    /// Creates the overrides of a limiter. `text` returns the text under which it counts a subject.
    pub(crate) fn new(
        settings: PerSubject,
        clock: Arc<dyn Clock>,
        text: impl Fn(&NamedSubject) -> String,
    ) -> Self {
        let PerSubject { function, named: all, max_age, max_keys } = settings;
        let mut named = HashMap::<String, HashMap<String, Override>>::new();
        for NamedOverride { policy, subject, changes } in all {
            named.entry(policy).or_default().insert(text(&subject), changes);
        }
        Self {
            function,
            named,
            max_age: TimeSpan::from_duration(max_age),
            clock,
            cache: BoundedMap::new(max_keys),
            derived: DerivedPolicies::default(),
        }
    }

    /// Returns the policy in effect for this subject.
    pub(crate) fn effective_for<'a>(
        &self,
        mut policy: EffectivePolicy<'a>,
        subject: &str,
        unsupported: FindUnsupported<'_>,
    ) -> EffectivePolicy<'a> {
        let lookup = Lookup {
            key: self.cache.key(&Check::new(&policy, subject, 0)),
            now: Timestamp::now(&self.clock),
        };
        if let Some(derived) = self.derive_for(&lookup, unsupported) {
            policy.replace(Arc::clone(&derived.overridden));
        }
        policy
    }

    /// Returns the time after which somebody who waits asks again for the subject of a check: when
    /// the cached result is too old, but at least a second after the call. The check contains the
    /// policy that the function receives.
    pub(crate) fn known_for(&self, check: &Check<'_>) -> Duration {
        let key = self.cache.key(check);
        let now = Timestamp::now(&self.clock);
        match self.cached(&Lookup { key, now }) {
            Some((_, called_at)) => {
                let age = now.saturating_since(called_at);
                self.max_age.max(LEAST_RELOOK).saturating_sub(age).to_duration()
            }
            None => LEAST_RELOOK.to_duration(),
        }
    }

    fn derive_for(
        &self,
        lookup: &Lookup<'_>,
        unsupported: FindUnsupported<'_>,
    ) -> Option<Arc<DerivedPolicy>> {
        let Lookup { key, now } = lookup;
        let HashedKey { policy, subject, .. } = *key;
        let (derived, called_at) = match self.cached(lookup) {
            Some((None, _)) => return None,
            Some((Some(derived), _)) if derived.is_derived_from(policy) => return Some(derived),
            // The override of the policy has changed since the call, so the subject's override is
            // applied again.
            Some((Some(derived), called_at)) => {
                (Some(self.derived.derive(policy, &derived.changes, unsupported)), called_at)
            }
            None => {
                let named = self.named.get(policy.name()).and_then(|all| all.get(subject));
                // No lock is taken here, because the function may be slow.
                let changes = named.cloned().or_else(|| (self.function)(policy, subject));
                (changes.map(|changes| self.derived.derive(policy, &changes, unsupported)), *now)
            }
        };
        let result = CachedResult { derived: derived.clone(), called_at };
        let shared = self.cache.share(policy);
        let mut shard = self.cache.shard(key);
        match shard.find(key) {
            Some(entry) => entry.value = result,
            None => {
                shard.insert(key, shared, result, |_| false);
            }
        }
        derived
    }

    /// Returns the cached result and the time of its call. Returns `None` if there is none or it is
    /// too old.
    fn cached(&self, lookup: &Lookup<'_>) -> Option<(Option<Arc<DerivedPolicy>>, Timestamp)> {
        let Lookup { key, now } = lookup;
        let mut shard = self.cache.shard(key);
        let result = &shard.find(key)?.value;
        // If the clock has gone back, the result counts as too old.
        let is_fresh = now.checked_since(result.called_at).is_some_and(|age| age < self.max_age);
        is_fresh.then(|| (result.derived.clone(), result.called_at))
    }
}
