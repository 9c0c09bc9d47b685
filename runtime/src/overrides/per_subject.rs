//! Overrides of single subjects, which the program computes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Override;
use super::derived::{DerivedPolicies, DerivedPolicy, FindUnsupported};
use super::effective::EffectivePolicy;
use super::subject_function::{
    AwaitedOverride, FailedLookup, FoundOverride, RequestHead, SubjectAnswer, SubjectFunction,
    SubjectLookup, SubjectNotFound,
};
use crate::guard::{BoundedMap, HashedKey};
use crate::micros::{TimeSpan, Timestamp};
use crate::named_subject::NamedSubject;
use crate::{Check, Clock, Policy};

const DEFAULT_MAX_KEYS: usize = 100_000;
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
/// The shortest time after which the function is called again for somebody who waits.
const LEAST_RELOOK: TimeSpan = TimeSpan::from_micros(1_000_000);

type SubjectFn = dyn Fn(&Policy, &str) -> Option<Override> + Send + Sync;
type AwaitedFn = dyn for<'a> Fn(SubjectLookup<'a>) -> AwaitedOverride<'a> + Send + Sync;

/// The function that is asked for the override of a subject.
#[derive(Clone)]
enum SubjectSource {
    Now(Arc<SubjectFn>),
    Awaited(Arc<AwaitedFn>),
}

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
/// called during a request, so it has to be quick: look the plan up in memory, or in an async function
/// ([`awaiting`](Self::awaiting)). Callers that wait
/// (see [`Limiter::wait`](crate::Limiter::wait)) ask again when the cached result is too old, but at
/// most once a second.
#[derive(Clone)]
pub struct PerSubject {
    function: SubjectSource,
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
        Self::of(SubjectSource::Now(Arc::new(function)))
    }

    /// Creates the settings with an async function, which may look the plan up elsewhere, and sees the
    /// request where there is one: at handlers and layers. For a function and
    /// [`Limiter::check`](crate::Limiter::check) it is asked without one.
    ///
    /// ```
    /// use tollgate::overrides::SubjectLookup;
    /// use tollgate::{Limiter, MemoryBackend, Override, PerSubject};
    ///
    /// # #[derive(Clone)] struct Database;
    /// # impl Database {
    /// #     async fn plan(&self, _: &str) -> Result<Option<u32>, std::io::Error> { Ok(Some(1_000)) }
    /// # }
    /// # let database = Database;
    /// let plans = PerSubject::awaiting(move |lookup: SubjectLookup<'_>| {
    ///     let (database, customer) = (database.clone(), lookup.subject().to_owned());
    ///     async move {
    ///         let plan = database.plan(&customer).await?;
    ///         Ok::<_, std::io::Error>(plan.map(|limit| Override::new().limit(limit)))
    ///     }
    /// });
    /// let limiter = Limiter::builder(MemoryBackend::new()).per_subject(plans).build();
    /// ```
    ///
    /// What it returns is cached as the results of a plain function are: by policy and subject, and for
    /// [`max_age`](Self::max_age). So what it takes from a request must be the same for all requests of
    /// the subject. Of several requests that come before the first answer each asks. Errors are not
    /// cached.
    ///
    /// After an error, the limit does what its [`on_error`](crate::OnError) says, as if the store had
    /// failed; by [`OnError::Local`](crate::OnError::Local) it counts by the policy without an override of
    /// the subject, in this process. The circuit breaker does not count it.
    ///
    /// [`Limiter::check_now`](crate::Limiter::check_now) and functions that are not async cannot wait: they
    /// know only what is cached, and otherwise have not asked. [`Limiter::reset`](crate::Limiter::reset)
    /// and bans need no override and do not ask. The function is called within the time of the request,
    /// and no deadline of the limiter ends it.
    #[must_use]
    pub fn awaiting<F, R>(function: F) -> Self
    where
        F: for<'a> SubjectFunction<'a, Output = R> + Send + Sync + 'static,
        R: SubjectAnswer,
    {
        Self::of(SubjectSource::Awaited(Arc::new(move |lookup| {
            let answer = function.call(lookup);
            Box::pin(async move { answer.await.found() })
        })))
    }

    fn of(function: SubjectSource) -> Self {
        let (max_age, max_keys) = (DEFAULT_MAX_AGE, DEFAULT_MAX_KEYS);
        Self { function, named: Vec::new(), max_age, max_keys }
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
    function: SubjectSource,
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

/// The override that an awaited function has returned, and the time at which it was asked.
pub(crate) struct AskedOverride {
    changes: Option<Override>,
    asked_at: Timestamp,
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

    /// Returns `true` if the function has to be awaited.
    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self.function, SubjectSource::Awaited(_))
    }

    /// Returns the policy in effect for this subject. The error is the policy without an override of
    /// the subject, if the function has to be awaited for that.
    pub(crate) fn effective_for<'a>(
        &self,
        mut policy: EffectivePolicy<'a>,
        subject: &str,
        unsupported: FindUnsupported<'_>,
    ) -> Result<EffectivePolicy<'a>, EffectivePolicy<'a>> {
        let lookup = Lookup {
            key: self.cache.key(&Check::new(&policy, subject, 0)),
            now: Timestamp::now(&self.clock),
        };
        match self.derive_for(&lookup, unsupported) {
            None => return Err(policy),
            Some(None) => {}
            Some(Some(derived)) => policy.replace(Arc::clone(&derived.overridden)),
        }
        Ok(policy)
    }

    /// Awaits the function, and returns its answer.
    pub(crate) async fn ask(
        &self,
        check: &Check<'_>,
        request: Option<&RequestHead>,
    ) -> Result<AskedOverride, FailedLookup> {
        let asked_at = Timestamp::now(&self.clock);
        let found: FoundOverride = match &self.function {
            SubjectSource::Now(function) => Ok(function(check.policy, check.subject)),
            SubjectSource::Awaited(function) => {
                let Check { policy, subject, .. } = *check;
                function(SubjectLookup { policy, subject, request }).await
            }
        };
        match found {
            Ok(changes) => Ok(AskedOverride { changes, asked_at }),
            Err(error) => {
                Err(FailedLookup { setting: "PerSubject", error: Box::new(SubjectNotFound(error)) })
            }
        }
    }

    /// Returns the policy in effect for a subject of which this is the override, and caches that.
    pub(crate) fn accept<'a>(
        &self,
        mut policy: EffectivePolicy<'a>,
        subject: &str,
        asked: AskedOverride,
        unsupported: FindUnsupported<'_>,
    ) -> EffectivePolicy<'a> {
        let AskedOverride { changes, asked_at } = asked;
        let derived = changes.map(|changes| self.derived.derive(&policy, &changes, unsupported));
        let key = self.cache.key(&Check::new(&policy, subject, 0));
        self.store(&key, CachedResult { derived: derived.clone(), called_at: asked_at });
        if let Some(derived) = derived {
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

    /// Returns the policy that a subject has in the place of the one in effect, or `None` in it if the
    /// policy does not change. Returns `None` if the function has to be awaited.
    fn derive_for(
        &self,
        lookup: &Lookup<'_>,
        unsupported: FindUnsupported<'_>,
    ) -> Option<Option<Arc<DerivedPolicy>>> {
        let Lookup { key, now } = lookup;
        let HashedKey { policy, subject, .. } = *key;
        let (derived, called_at) = match self.cached(lookup) {
            Some((None, _)) => return Some(None),
            Some((Some(derived), _)) if derived.is_derived_from(policy) => {
                return Some(Some(derived));
            }
            // The override of the policy has changed since the call, so the subject's override is
            // applied again.
            Some((Some(derived), called_at)) => {
                (Some(self.derived.derive(policy, &derived.changes, unsupported)), called_at)
            }
            None => {
                let named = self.named.get(policy.name()).and_then(|all| all.get(subject));
                // No lock is taken here, because the function may be slow.
                let changes = match (named, &self.function) {
                    (Some(changes), _) => Some(changes.clone()),
                    (None, SubjectSource::Now(function)) => function(policy, subject),
                    (None, SubjectSource::Awaited(_)) => return None,
                };
                (changes.map(|changes| self.derived.derive(policy, &changes, unsupported)), *now)
            }
        };
        self.store(key, CachedResult { derived: derived.clone(), called_at });
        Some(derived)
    }

    fn store(&self, key: &HashedKey<'_>, result: CachedResult) {
        let shared = self.cache.share(key.policy);
        let mut shard = self.cache.shard(key);
        match shard.find(key) {
            Some(entry) => entry.value = result,
            None => {
                shard.insert(key, shared, result, |_| false);
            }
        }
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
