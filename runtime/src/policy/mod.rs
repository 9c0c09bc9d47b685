//! A policy: a named set of quotas with an algorithm and its options.

mod algorithm;
pub(crate) mod ban;
pub(crate) mod in_flight;
mod name;
mod on_error;
mod unknown_word;
mod unsupported;

use smol_str::SmolStr;

pub use self::algorithm::Algorithm;
pub use self::ban::Ban;
pub use self::in_flight::InFlight;
use self::name::{Name, hash_name};
pub use self::on_error::OnError;
pub use self::unknown_word::UnknownWord;
pub(crate) use self::unsupported::Unsupported;
use crate::Quota;

/// The value of [`Policy::MAX_QUOTAS`].
pub(crate) const MAX_QUOTAS: usize = 4;

/// The largest number of states in a verdict: of the quotas, and of the limit on requests in flight.
pub(crate) const MAX_STATES: usize = MAX_QUOTAS + 1;

/// A named set of quotas with an algorithm and its options.
///
/// The name is the policy's identity: it is part of the key of each counter, so policies of the
/// same name share their counters. With several quotas, a request is admitted if all of them admit
/// it, and is then charged to all; otherwise it is charged to none.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{Policy, Quota};
///
/// const LOGIN: Policy = Policy::new("login", Quota::new(5, Duration::from_secs(60)))
///     .and(Quota::new(20, Duration::from_secs(3600)));
/// assert_eq!(LOGIN.quotas().len(), 2);
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    name: Name,
    name_hash: u64,
    label: Option<&'static str>,
    quotas: [Quota; MAX_QUOTAS],
    quota_count: u8,
    algorithm: Algorithm,
    /// The handling of requests while the backend fails; `None` for the limiter's default.
    on_error: Option<OnError>,
    /// `true` if the deny cache is on; `None` for the default (see
    /// [`deny_cache`](Self::deny_cache)).
    deny_cache: Option<bool>,
    /// `true` if the policy has a `refund_if`, so charges may be refunded.
    refunds: bool,
    /// `true` if charges are settled at what requests came to.
    settles: bool,
    /// `true` if the policy admits the requests that it would refuse, and only reports them.
    shadow: bool,
    /// `true` if an override blocks the policy, whatever its quotas are.
    blocked: bool,
    /// `true` if one of the quotas admits nobody.
    has_blocked_quota: bool,
    /// The largest number of units in one lease; `None` for the limiter's default.
    lease: Option<u32>,
    ban: Option<Ban>,
    in_flight: Option<InFlight>,
}

/// Decisions contain a clone of their policy. It is written to its place at once only if this is
/// compiled into that.
impl Clone for Policy {
    #[inline(always)]
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), ..*self }
    }
}

impl Policy {
    /// The largest number of quotas of one policy: enough for a second, a minute, an hour and a
    /// day.
    pub const MAX_QUOTAS: usize = MAX_QUOTAS;

    /// Creates a policy with one quota, for constants and statics.
    #[must_use]
    pub const fn new(name: &'static str, quota: Quota) -> Self {
        Self::with_name(Name::Constant(name), hash_name(name), quota)
    }

    /// Creates a policy with one quota and a name that is known only at run time.
    #[must_use]
    pub fn named(name: impl Into<String>, quota: Quota) -> Self {
        let name = name.into();
        let name_hash = hash_name(&name);
        Self::with_name(Name::Owned(name.into()), name_hash, quota)
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
            settles: false,
            shadow: false,
            blocked: false,
            has_blocked_quota: quota.is_blocked(),
            lease: None,
            ban: None,
            in_flight: None,
        }
    }

    /// Adds a quota after those that the policy already has.
    ///
    /// # Panics
    ///
    /// If the policy has [`MAX_QUOTAS`](Self::MAX_QUOTAS) already; in a `const` that is a compile error.
    #[must_use]
    pub const fn and(mut self, quota: Quota) -> Self {
        assert!((self.quota_count as usize) < MAX_QUOTAS, "a policy holds at most 4 quotas");
        self.quotas[self.quota_count as usize] = quota;
        self.quota_count += 1;
        self.has_blocked_quota |= quota.is_blocked();
        self
    }

    /// Sets the algorithm; [`Algorithm::SlidingWindow`] by default.
    #[must_use]
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.set_algorithm(algorithm);
        self
    }

    pub(crate) const fn set_algorithm(&mut self, algorithm: Algorithm) {
        self.algorithm = algorithm;
    }

    /// Sets the handling of requests while the backend cannot answer. The default is the setting of
    /// the [limiter](crate::LimiterBuilder::on_error).
    #[must_use]
    pub const fn on_error(mut self, mode: OnError) -> Self {
        self.set_on_error(mode);
        self
    }

    pub(crate) const fn set_on_error(&mut self, mode: OnError) {
        self.on_error = Some(mode);
    }

    /// Switches the deny cache on or off for this policy (see [`LocalTier`](crate::LocalTier)). By
    /// default it is on, except for a policy with `refund_if`: a refund by another process would
    /// have no effect here until the cached refusal ends. Of a policy with a [ban](Self::ban), only
    /// bans are cached, because the store counts its other refusals.
    #[must_use]
    pub const fn deny_cache(mut self, on: bool) -> Self {
        self.deny_cache = Some(on);
        self
    }

    /// Sets the largest number of units in one lease of this policy. The default is the limiter's
    /// setting (see [`LocalTier::lease`](crate::LocalTier::lease)). With 0 or 1 this policy has no
    /// leases. The setting has no effect if the limiter has no leases.
    #[must_use]
    pub const fn lease(mut self, max: u32) -> Self {
        self.lease = Some(max);
        self
    }

    /// Returns `true` if the store has to be asked for each request: only it counts refusals for a ban,
    /// and knows which requests are in flight.
    #[inline]
    const fn is_asked_each_time(&self) -> bool {
        self.ban.is_some() | self.in_flight.is_some()
    }

    /// Returns the largest number of units in one lease. `default` is the limiter's setting. It is 1
    /// for a policy for which the store has to be asked each time.
    #[inline]
    pub(crate) fn max_lease(&self, default: u32) -> u32 {
        if self.is_asked_each_time() { 1 } else { self.lease.unwrap_or(default) }
    }

    /// Shuts out subjects that are refused again and again, by the rule `ban`. In shadow mode,
    /// refusals are not counted. Such a policy has no [leases](crate::LocalTier), and of its refusals
    /// the deny cache only keeps bans.
    #[must_use]
    pub const fn ban(mut self, ban: Ban) -> Self {
        self.set_ban(Some(ban));
        self
    }

    pub(crate) const fn set_ban(&mut self, ban: Option<Ban>) {
        self.ban = ban;
    }

    /// Returns the rule by which subjects are banned; `None` if there is none.
    #[must_use]
    pub const fn get_ban(&self) -> Option<Ban> {
        self.ban
    }

    /// Returns the rule by which the store counts a refusal; `None` if it counts none.
    #[inline]
    pub(crate) const fn counted_ban(&self) -> Option<Ban> {
        if self.shadow { None } else { self.ban }
    }

    /// Marks the policy as one with a `refund_if`, so that charges may be refunded.
    pub(crate) const fn set_refunds(&mut self) {
        self.refunds = true;
    }

    /// Marks the policy as one whose charges are settled.
    pub(crate) const fn set_settles(&mut self) {
        self.settles = true;
    }

    /// Returns `true` if charges are settled at what requests came to.
    pub(crate) const fn settles(&self) -> bool {
        self.settles
    }

    /// Switches shadow mode on or off. In shadow mode the policy decides and reports, but never
    /// refuses a request.
    pub(crate) const fn set_shadow(&mut self, on: bool) {
        self.shadow = on;
    }

    /// Blocks the policy, or lifts such a block.
    pub(crate) const fn set_blocked(&mut self, on: bool) {
        self.blocked = on;
    }

    /// Returns `true` if the policy admits nobody: one of its quotas is
    /// [`Quota::BLOCKED`](crate::Quota::BLOCKED), or an [`Override`](crate::Override) blocks it.
    #[inline]
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.blocked | self.has_blocked_quota
    }

    /// Returns the policy with quotas that the arithmetic of counters is made for; `None` if it has
    /// such quotas.
    pub(crate) fn countable(&self) -> Option<Self> {
        self.has_blocked_quota.then(|| self.clone().with_quotas(&[Quota::PLACEHOLDER]))
    }

    /// Returns `true` if the policy decides and reports, but never refuses: `shadow` in the attribute
    /// or in an [`Override`](crate::Override).
    #[must_use]
    pub const fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Returns the policy without its rule for bans, for checks whose refusals are not counted.
    pub(crate) fn without_ban(mut self) -> Self {
        self.ban = None;
        self
    }

    /// Returns `true` if the deny cache may answer checks of banned subjects in place of the store.
    #[inline]
    pub(crate) fn has_ban_cache(&self) -> bool {
        self.ban.is_some() || self.has_deny_cache()
    }

    /// Returns `true` if the deny cache may answer checks of this policy in place of the store.
    #[inline]
    pub(crate) fn has_deny_cache(&self) -> bool {
        !self.is_asked_each_time() && self.deny_cache.unwrap_or(!self.refunds)
    }

    /// Sets the text that clients see instead of the policy's name.
    pub(crate) const fn labelled(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }

    /// Returns the name, which identifies the policy. For an annotated function it is the
    /// function's full path, unless the annotation gives a `name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the text that clients see as the policy's name: an annotated function's own name
    /// without its path, and otherwise the [`name`](Self::name).
    #[must_use]
    pub fn label(&self) -> &str {
        self.label.unwrap_or(self.name())
    }

    /// Returns the quotas, in the order of declaration. There are none if the policy only limits
    /// requests [in flight](Self::in_flight_only).
    #[inline]
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas[..usize::from(self.quota_count)]
    }

    /// Returns the algorithm that decides if the quotas admit a request.
    #[must_use]
    pub const fn get_algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the handling of requests while the backend cannot answer; `None` if the limiter's
    /// applies.
    #[must_use]
    pub const fn get_on_error(&self) -> Option<OnError> {
        self.on_error
    }

    /// Returns `true` or `false` if the deny cache was switched on or off for this policy, and `None`
    /// if the default applies.
    #[must_use]
    pub const fn get_deny_cache(&self) -> Option<bool> {
        self.deny_cache
    }

    /// Returns the largest number of units in one lease; `None` if the limiter's applies.
    #[must_use]
    pub const fn get_lease(&self) -> Option<u32> {
        self.lease
    }

    /// Returns a hash of the name. The hash of a constant policy is computed at compile time.
    pub(crate) const fn name_hash(&self) -> u64 {
        self.name_hash
    }

    /// Returns the quota, if there is just one.
    #[inline(always)]
    pub(crate) const fn only_quota(&self) -> Option<&Quota> {
        let [first, ..] = &self.quotas;
        if self.quota_count == 1 { Some(first) } else { None }
    }

    /// Returns `true` if both policies have the same name, and so share their counters.
    #[inline]
    pub(crate) fn has_name_of(&self, other: &Self) -> bool {
        self.name_hash == other.name_hash && self.name == other.name
    }

    /// Returns `true` if counters of one policy can be used for the other without conversion: the
    /// algorithms are the same, and the quotas have the same limits, bursts and periods.
    #[inline]
    pub(crate) fn is_kept_like(&self, other: &Self) -> bool {
        let [first, ..] = &self.quotas;
        let [other_first, ..] = &other.quotas;
        (self.algorithm, self.quota_count) == (other.algorithm, other.quota_count)
            && first.is_kept_like(other_first)
            // Most policies have a single quota, which has just been compared.
            && (self.quota_count == 1 || self.quotas_are_kept_like(other))
    }

    fn quotas_are_kept_like(&self, other: &Self) -> bool {
        let mut pairs = self.quotas().iter().zip(other.quotas());
        pairs.all(|(quota, other)| quota.is_kept_like(other))
    }

    /// Returns `true` if both policies have the same quotas and the same algorithm, and the same limit on
    /// requests in flight.
    #[inline]
    pub(crate) fn counts_like(&self, other: &Self) -> bool {
        self.quotas() == other.quotas()
            && self.algorithm == other.algorithm
            && self.in_flight == other.in_flight
    }

    /// Returns `true` if a quota's period begins when the calendar says.
    pub(crate) fn has_calendar(&self) -> bool {
        self.quotas().iter().any(|quota| quota.calendar_period().is_some())
    }

    /// Returns the policy with `quotas` in place of its own. Quotas beyond the first [`MAX_QUOTAS`]
    /// are dropped.
    pub(crate) fn with_quotas(mut self, quotas: &[Quota]) -> Self {
        let count = quotas.len().min(MAX_QUOTAS);
        self.quotas[..count].copy_from_slice(&quotas[..count]);
        // `count` is at most `MAX_QUOTAS`, so it fits into `u8`.
        self.quota_count = count as u8;
        self.has_blocked_quota = self.quotas().iter().any(Quota::is_blocked);
        self
    }

    /// Returns the policy with each quota replaced by the result of the function `quota`.
    pub(crate) fn map_quotas(mut self, quota: impl Fn(Quota) -> Quota) -> Self {
        self.quotas = self.quotas.map(quota);
        self.has_blocked_quota = self.quotas().iter().any(Quota::is_blocked);
        self
    }

    /// Returns the name as an owned string. The text of a constant name is not copied.
    pub(crate) fn name_handle(&self) -> SmolStr {
        self.name.to_smol_str()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
