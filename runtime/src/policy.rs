//! A policy: a named set of quotas and what goes with them.

use smol_str::SmolStr;

use crate::Quota;

/// The most quotas that one policy can hold: a second, a minute, an hour and a day.
pub const MAX_QUOTAS: usize = 4;

/// How a quota counts. The bound of each is in the documentation of its variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Remembers when it admitted. In **any** half-open window as long as the period it
    /// admits at most the limit: never one more, wherever the window starts.
    ///
    /// Up to a limit of 1024 it is exact. Above that, admissions share granules of
    /// ⌈period ÷ 1024⌉: still never more than the limit, but a unit can come back later
    /// than it might, by less than one granule.
    #[default]
    SlidingWindow,
    /// Two counters, the earlier weighted by how much of it the window still covers: the least
    /// memory of the windows that slide. Under constant demand it admits limit − 1 in each
    /// period; at worst, 2 × limit − 1 in a window of one period.
    SlidingWindowCounter,
    /// One counter, in a window that the first admission opens. At most the limit in each such
    /// window; at worst, late in one and early in the next, 2 × limit − 1 in a window of one
    /// period.
    FixedWindow,
    /// A bucket of `burst` tokens that fills at limit ÷ period in a steady flow. At most
    /// burst + limit − 1 in any half-open window of one period.
    TokenBucket,
    /// A bucket of `burst` that leaks at limit ÷ period. It decides as the token bucket does;
    /// with `wait`, calls leave spaced by period ÷ limit, and `burst` is the length of the line.
    LeakyBucket,
    /// The generic cell rate algorithm: the token bucket in one number, with which it shares its
    /// bound.
    Gcra,
}

impl Algorithm {
    /// All that there are.
    pub const ALL: &'static [Self] = &[
        Self::SlidingWindow,
        Self::SlidingWindowCounter,
        Self::FixedWindow,
        Self::TokenBucket,
        Self::LeakyBucket,
        Self::Gcra,
    ];

    /// The name by which the attribute knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlidingWindow => "sliding_window",
            Self::SlidingWindowCounter => "sliding_window_counter",
            Self::FixedWindow => "fixed_window",
            Self::TokenBucket => "token_bucket",
            Self::LeakyBucket => "leaky_bucket",
            Self::Gcra => "gcra",
        }
    }

    /// Whether it has a bucket, whose size is a quota's burst.
    pub(crate) const fn has_bucket(self) -> bool {
        match self {
            Self::SlidingWindow | Self::SlidingWindowCounter | Self::FixedWindow => false,
            Self::TokenBucket | Self::LeakyBucket | Self::Gcra => true,
        }
    }
}

#[doc = include_str!("docs/outages.md")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// They are refused (over HTTP with 503). The default: an outage never lifts a limit.
    #[default]
    Closed,
    /// They pass, uncounted. The attribute writes it `skip_on_error`.
    Open,
    /// A limiter in this process decides, by its share of the limit. For that the limiter has to
    /// know [among how many](crate::LimiterBuilder::instances) it is shared; if it does not, it
    /// does not start.
    Local,
}

impl OnError {
    /// All that there are.
    #[cfg(any(feature = "config", feature = "dashboard"))]
    pub(crate) const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::Local];

    /// The name by which the attribute knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Local => "local",
        }
    }
}

/// A named set of quotas with an algorithm and its options.
///
/// The name is the policy's identity: subjects are counted under it, so two policies that
/// share a name share their counters. With several quotas, a request is admitted if all of
/// them admit it and is then charged to all; otherwise it is charged to none.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{Policy, Quota};
///
/// const LOGIN: Policy = Policy::new("login", Quota::new(5, Duration::from_secs(60)))
///     .and(Quota::new(20, Duration::from_secs(3600)));
/// assert_eq!(LOGIN.quotas().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    name: Name,
    name_hash: u64,
    label: Option<&'static str>,
    quotas: [Quota; MAX_QUOTAS],
    quota_count: u8,
    algorithm: Algorithm,
    /// `None`: as the limiter has it.
    on_error: Option<OnError>,
    /// If somebody has said.
    deny_cache: Option<bool>,
    /// Whether what it charges is often given back (`refund_if`).
    refunds: bool,
    /// Whether it only reports what it would refuse.
    shadow: bool,
    /// If somebody has said.
    lease: Option<u32>,
}

impl Policy {
    /// A policy with one quota, for constants and statics.
    #[must_use]
    pub const fn new(name: &'static str, quota: Quota) -> Self {
        Self::with_name(Name::Constant(name), fnv1a(name), quota)
    }

    /// A policy with one quota, whose name is known only at run time.
    #[must_use]
    pub fn named(name: impl Into<String>, quota: Quota) -> Self {
        let name = name.into();
        let name_hash = fnv1a(&name);
        Self::with_name(Name::Made(name.into()), name_hash, quota)
    }

    const fn with_name(name: Name, name_hash: u64, quota: Quota) -> Self {
        Self {
            name,
            name_hash,
            label: None,
            quotas: [quota; MAX_QUOTAS],
            quota_count: 1,
            algorithm: Algorithm::SlidingWindow,
            on_error: None,
            deny_cache: None,
            refunds: false,
            shadow: false,
            lease: None,
        }
    }

    /// Adds a quota, after those already there.
    ///
    /// # Panics
    ///
    /// Past [`MAX_QUOTAS`]; in a `const` that is a compile error.
    #[must_use]
    pub const fn and(mut self, quota: Quota) -> Self {
        assert!((self.quota_count as usize) < MAX_QUOTAS, "a policy holds at most 4 quotas");
        self.quotas[self.quota_count as usize] = quota;
        self.quota_count += 1;
        self
    }

    /// Counts by `algorithm`.
    #[must_use]
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.set_algorithm(algorithm);
        self
    }

    pub(crate) const fn set_algorithm(&mut self, algorithm: Algorithm) {
        self.algorithm = algorithm;
    }

    /// What happens while the backend cannot answer; unless set, what
    /// [the limiter](crate::LimiterBuilder::on_error) says.
    #[must_use]
    pub const fn on_error(mut self, mode: OnError) -> Self {
        self.set_on_error(mode);
        self
    }

    pub(crate) const fn set_on_error(&mut self, mode: OnError) {
        self.on_error = Some(mode);
    }

    /// Whether refusals may be answered by the deny cache (see [`LocalTier`](crate::LocalTier)).
    /// Unless this says so they may, but not those of a policy with `refund_if`: what another
    /// process gives back would be noticed late.
    #[must_use]
    pub const fn deny_cache(mut self, on: bool) -> Self {
        self.deny_cache = Some(on);
        self
    }

    /// Leases up to `max` permits at a time, instead of the limiter's own number (see
    /// [`LocalTier::lease`](crate::LocalTier::lease)), if the limiter leases at all. With 0 or 1
    /// every check of this policy is the store's.
    #[must_use]
    pub const fn lease(mut self, max: u32) -> Self {
        self.lease = Some(max);
        self
    }

    /// The most permits of one lease.
    #[inline]
    pub(crate) fn max_lease(&self, default: u32) -> u32 {
        self.lease.unwrap_or(default)
    }

    /// Says that what it charges is often given back.
    pub(crate) const fn set_refunds(&mut self) {
        self.refunds = true;
    }

    /// Whether it decides and reports, but never refuses.
    pub(crate) const fn set_shadow(&mut self, on: bool) {
        self.shadow = on;
    }

    pub(crate) const fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Whether refusals may be answered from memory.
    #[inline]
    pub(crate) fn has_deny_cache(&self) -> bool {
        self.deny_cache.unwrap_or(!self.refunds)
    }

    /// Shows clients `label` instead of the name.
    pub(crate) const fn labelled(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }

    /// The identity. For an annotated function it is the function's full path unless the
    /// annotation gives a `name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.text()
    }

    /// What clients are shown: an annotated function's own name, otherwise the identity.
    #[must_use]
    pub fn label(&self) -> &str {
        self.label.unwrap_or(self.name())
    }

    /// The quotas, in the order in which they were written.
    #[inline]
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas[..usize::from(self.quota_count)]
    }

    /// The algorithm that a backend is to decide by.
    #[must_use]
    pub fn get_algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A hash of the name, which a constant policy has from compile time.
    pub(crate) const fn name_hash(&self) -> u64 {
        self.name_hash
    }

    /// Whether the two go by one name.
    #[inline]
    pub(crate) fn has_name_of(&self, other: &Self) -> bool {
        self.name_hash == other.name_hash && self.name == other.name
    }

    /// Whether the same state serves both.
    #[inline]
    pub(crate) fn is_kept_like(&self, other: &Self) -> bool {
        let [first, ..] = &self.quotas;
        let [other_first, ..] = &other.quotas;
        (self.algorithm, self.quota_count) == (other.algorithm, other.quota_count)
            && first.is_kept_like(other_first)
            // Most have one.
            && (self.quota_count == 1 || self.quotas_are_kept_like(other))
    }

    fn quotas_are_kept_like(&self, other: &Self) -> bool {
        let mut pairs = self.quotas().iter().zip(other.quotas());
        pairs.all(|(quota, other)| quota.is_kept_like(other))
    }

    /// Whether the two count alike.
    #[inline]
    pub(crate) fn counts_like(&self, other: &Self) -> bool {
        self.quotas() == other.quotas() && self.algorithm == other.algorithm
    }

    /// What of this policy cannot be kept, if anything.
    pub(crate) fn unsupported(&self) -> Option<&'static str> {
        let has_burst = |quota: &Quota| quota.capacity() != quota.limit();
        if !self.algorithm.has_bucket() && self.quotas().iter().any(has_burst) {
            Some(
                "it has a burst, but its algorithm has no bucket: leave the burst out, or use \
                 `token_bucket`, `leaky_bucket` or `gcra`",
            )
        } else {
            None
        }
    }

    /// The same policy with these quotas, as many as a policy can have.
    pub(crate) fn with_quotas(mut self, quotas: &[Quota]) -> Self {
        let count = quotas.len().min(MAX_QUOTAS);
        self.quotas[..count].copy_from_slice(&quotas[..count]);
        // At most 4.
        self.quota_count = count as u8;
        self
    }

    /// The same policy with other quotas, each made of one of these.
    pub(crate) fn map_quotas(mut self, quota: impl Fn(Quota) -> Quota) -> Self {
        self.quotas = self.quotas.map(quota);
        self
    }

    pub(crate) fn get_on_error(&self) -> Option<OnError> {
        self.on_error
    }

    /// The name, to be kept.
    pub(crate) fn name_handle(&self) -> SmolStr {
        match &self.name {
            Name::Constant(name) => SmolStr::new_static(name),
            Name::Made(name) => name.clone(),
        }
    }
}

/// Most are constants, which are told by where they lie.
#[derive(Clone, Debug)]
enum Name {
    Constant(&'static str),
    Made(SmolStr),
}

impl Name {
    fn text(&self) -> &str {
        match self {
            Self::Constant(name) => name,
            Self::Made(name) => name,
        }
    }

    #[cold]
    fn says(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl PartialEq for Name {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Constant(name), Self::Constant(other)) if std::ptr::eq(*name, *other) => true,
            _ => self.says(other),
        }
    }
}

impl Eq for Name {}

/// [FNV-1a](https://datatracker.ietf.org/doc/draft-eastlake-fnv/), for it can be computed at
/// compile time; by words of eight bytes, as there it is interpreted, for each handler. Names are
/// the program's own, and those that collide are still told apart.
const fn fnv1a(text: &str) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = text.as_bytes();
    while let Some((word, others)) = rest.split_first_chunk() {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        // What is multiplied does not reach the lower bits.
        hash ^= hash >> 32;
        rest = others;
    }
    while let [byte, others @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
        rest = others;
    }
    hash
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_algorithm_is_left_out() {
        // The compiler asks for a new one here.
        let next = |algorithm| match algorithm {
            Algorithm::SlidingWindow => Some(Algorithm::SlidingWindowCounter),
            Algorithm::SlidingWindowCounter => Some(Algorithm::FixedWindow),
            Algorithm::FixedWindow => Some(Algorithm::TokenBucket),
            Algorithm::TokenBucket => Some(Algorithm::LeakyBucket),
            Algorithm::LeakyBucket => Some(Algorithm::Gcra),
            Algorithm::Gcra => None,
        };
        let all: Vec<_> =
            std::iter::successors(Some(Algorithm::default()), |one| next(*one)).collect();
        assert_eq!(all, Algorithm::ALL);
    }

    #[test]
    fn keeps_quotas_in_written_order() {
        let quota = |limit| Quota::new(limit, Duration::from_secs(1));
        let policy = Policy::new("p", quota(1)).and(quota(2)).and(quota(3)).and(quota(4));
        let limits: Vec<u32> = policy.quotas().iter().map(Quota::limit).collect();
        assert_eq!(limits, [1, 2, 3, 4]);
    }

    #[test]
    #[should_panic(expected = "at most 4 quotas")]
    fn a_fifth_quota_is_a_clear_panic() {
        let quota = Quota::new(1, Duration::from_secs(1));
        let _ = Policy::named("p", quota).and(quota).and(quota).and(quota).and(quota);
    }

    #[test]
    fn the_label_is_the_name_unless_given() {
        let quota = Quota::new(1, Duration::from_secs(1));
        assert_eq!(Policy::new("a::b", quota).label(), "a::b");
        assert_eq!(Policy::new("a::b", quota).labelled("b").label(), "b");
        assert_eq!(Policy::new("a::b", quota).labelled("b").name(), "a::b");
    }
}
