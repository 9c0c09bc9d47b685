//! Quotas by subject: what a program says of whose requests a policy counts.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Current, Overridden, Override};
use crate::algorithm::Micros;
use crate::guard::Keyed;
use crate::{Clock, Policy};

const DEFAULT_MAX_KEYS: usize = 100_000;
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
/// How many different policies it makes at most before it forgets one; people have few tiers.
const MOST_MADE: usize = 64;

type Function = dyn Fn(&Policy, &str) -> Option<Override> + Send + Sync;

/// Says for each subject what its quotas are: a customer's plan, for instance. Give it to
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
/// The function is asked about a subject as its limit counts it: an address, what a key function
/// gave, or the hash of a credential. With `None` it stays with what the policy says. It gets the
/// policy as it is kept, and what it says comes after what is said of the policy as a whole (see
/// [`Limiter::set_overrides`](crate::Limiter::set_overrides)): so a limit that it names holds,
/// whatever an override says. Who changes to another plan keeps what has been counted.
///
/// Its answers are remembered, of a bounded number of subjects and for a bounded time. It is
/// called in the middle of a request, so it has to be quick: look it up in memory.
pub struct PerSubject {
    function: Box<Function>,
    max_age: Duration,
    max_keys: usize,
}

impl PerSubject {
    /// What `function` says of a policy and a subject.
    #[must_use]
    pub fn new(
        function: impl Fn(&Policy, &str) -> Option<Override> + Send + Sync + 'static,
    ) -> Self {
        Self { function: Box::new(function), max_age: DEFAULT_MAX_AGE, max_keys: DEFAULT_MAX_KEYS }
    }

    /// How long an answer is remembered: one minute unless this is set.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Of how many subjects, at least 1; 100,000 unless this is set.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys.max(1);
        self
    }
}

impl fmt::Debug for PerSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function: _, max_age, max_keys } = self;
        f.debug_struct("PerSubject")
            .field("max_age", max_age)
            .field("max_keys", max_keys)
            .finish_non_exhaustive()
    }
}

/// The same at work.
pub(crate) struct Subjects {
    function: Box<Function>,
    max_age: Micros,
    clock: Arc<dyn Clock>,
    kept: Keyed<Answer>,
    /// Policies that have been made, so that those of one plan share theirs.
    made: Mutex<Vec<Arc<Made>>>,
    /// What was last said that cannot be, so that it is logged once.
    wrong: Mutex<String>,
}

struct Answer {
    made: Option<Arc<Made>>,
    asked_at: Micros,
}

/// What was made of a policy.
struct Made {
    base: Policy,
    changes: Override,
    overridden: Arc<Overridden>,
}

impl Made {
    fn is_of(&self, current: &Current<'_>) -> bool {
        self.base == **current
    }
}

impl Subjects {
    pub(crate) fn new(settings: PerSubject, clock: Arc<dyn Clock>) -> Self {
        let PerSubject { function, max_age, max_keys } = settings;
        Self {
            function,
            max_age: max_age.as_micros().try_into().unwrap_or(Micros::MAX),
            clock,
            kept: Keyed::new(max_keys),
            made: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// The policy as it is for this subject.
    pub(crate) fn of<'a>(
        &self,
        mut current: Current<'a>,
        subject: &str,
        unsupported: impl Fn(&Policy) -> Option<&'static str>,
    ) -> Current<'a> {
        if let Some(made) = self.made_for(&current, subject, unsupported) {
            current.replace(Arc::clone(&made.overridden));
        }
        current
    }

    fn made_for(
        &self,
        current: &Current<'_>,
        subject: &str,
        unsupported: impl Fn(&Policy) -> Option<&'static str>,
    ) -> Option<Arc<Made>> {
        let now = self.clock.now_micros();
        let hash = self.kept.hash(current, subject);
        let (made, asked_at) = match self.known(current, subject, hash, now) {
            Some((None, _)) => return None,
            Some((Some(made), _)) if made.is_of(current) => return Some(made),
            // Meanwhile something else is said of the policy as a whole.
            Some((Some(made), asked_at)) => {
                (self.make(current, &made.changes, unsupported), asked_at)
            }
            // No lock is held while it thinks.
            None => {
                let changes = (self.function)(current, subject);
                (changes.and_then(|changes| self.make(current, &changes, unsupported)), now)
            }
        };
        let answer = Answer { made: made.clone(), asked_at };
        let policy = self.kept.share(current);
        let mut shard = self.kept.shard(hash);
        match shard.find(current, subject, hash) {
            Some(entry) => entry.value = answer,
            None => {
                shard.insert(hash, policy, subject, answer, |_| false);
            }
        }
        made
    }

    /// What it has said of late, and when.
    fn known(
        &self,
        policy: &Policy,
        subject: &str,
        hash: u64,
        now: Micros,
    ) -> Option<(Option<Arc<Made>>, Micros)> {
        let mut shard = self.kept.shard(hash);
        let answer = &shard.find(policy, subject, hash)?.value;
        // A clock that went back makes nothing last longer.
        let is_fresh = now.checked_sub(answer.asked_at).is_some_and(|age| age < self.max_age);
        is_fresh.then(|| (answer.made.clone(), answer.asked_at))
    }

    fn make(
        &self,
        current: &Current<'_>,
        changes: &Override,
        unsupported: impl Fn(&Policy) -> Option<&'static str>,
    ) -> Option<Arc<Made>> {
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = all.iter().find(|made| made.is_of(current) && made.changes == *changes)
        {
            return Some(Arc::clone(made));
        }
        let policy = match changes.apply(current) {
            Ok(policy) if let Some(reason) = unsupported(&policy) => {
                self.complain(current, changes, reason);
                return None;
            }
            Ok(policy) => policy,
            Err((key, reason)) => {
                self.complain(current, changes, &format!("{key}: {reason}"));
                return None;
            }
        };
        let overridden = Overridden {
            policy,
            enabled: changes.enabled.unwrap_or(true),
            #[cfg(feature = "axum")]
            fields: crate::response::HeaderCache::new(),
        };
        let made = Arc::new(Made {
            base: (**current).clone(),
            changes: changes.clone(),
            overridden: Arc::new(overridden),
        });
        if all.len() >= MOST_MADE {
            all.remove(0);
        }
        all.push(Arc::clone(&made));
        Some(made)
    }

    fn complain(&self, policy: &Policy, changes: &Override, reason: &str) {
        let policy = policy.name();
        let said = format!("{policy}: {changes}: {reason}");
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if *wrong != said {
            tracing::error!(policy, %changes, reason, "a subject's quotas cannot be; it has the policy's");
            *wrong = said;
        }
    }
}
