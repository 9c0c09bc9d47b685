//! What a fleet is, and what is compared: how its limiters are set.

use std::time::Duration;

use tollgate::{CircuitBreaker, LocalTier, OnError, Policy, Quota};

const SECOND: u64 = 1_000_000;

/// A fleet and the time for which it is watched, in microseconds.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub seed: u64,
    pub instances: usize,
    pub subjects: usize,
    /// The requests in a second, in all.
    pub rate: u64,
    /// The limit of each subject in a period.
    pub limit: u32,
    pub period: u64,
    /// How many slots there are, of one fault each, and how long one is.
    pub slots: u64,
    pub slot: u64,
    /// The longest fault.
    pub fault: u64,
    /// The longest failover.
    pub failover: u64,
    /// How long after a fault every instance certainly asks the store again, if that is known.
    pub returns: Option<u64>,
    /// How long a fault may be felt after its end.
    pub settle: u64,
    /// How long nobody comes at the end of a slot.
    pub quiet: u64,
    /// One admission in so many is refunded.
    pub refunds: u64,
    /// The longest time after which that happens.
    pub lasts: u64,
    /// The longest time for which the circuit breakers stay open.
    pub breaker: Duration,
    /// The drift of the store's clock and the most of an instance's, in millionths.
    pub store_drift: i64,
    pub drift: i64,
}

/// Where the requests of a client go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// To any instance, each anew.
    Spread,
    /// To the instances that its two connections lead to, about a minute each.
    Connections,
}

/// How the limiters of a fleet are set.
#[derive(Clone, Debug)]
pub struct Mode {
    pub name: &'static str,
    pub has_deny_cache: bool,
    /// The most units of a lease; 0 without leases.
    pub lease: u32,
    pub on_error: OnError,
    pub routing: Routing,
}

impl Fleet {
    /// A thousand instances for a day: 12 minutes for each fault.
    pub fn large(seed: u64) -> Self {
        Self {
            seed,
            instances: 1_000,
            subjects: 100_000,
            rate: 200,
            limit: 60,
            period: 60 * SECOND,
            slots: 120,
            slot: 720 * SECOND,
            fault: 120 * SECOND,
            failover: 8 * SECOND,
            returns: None,
            settle: 360 * SECOND,
            quiet: 3 * SECOND,
            refunds: 200,
            lasts: SECOND / 2,
            breaker: Duration::from_secs(60),
            store_drift: 50,
            drift: 200,
        }
    }

    /// Twenty instances for 14 minutes, in which each kind of fault comes.
    pub fn small(seed: u64) -> Self {
        Self {
            instances: 20,
            subjects: 200,
            rate: 100,
            limit: 50,
            period: 10 * SECOND,
            slots: 7,
            slot: 120 * SECOND,
            fault: 20 * SECOND,
            failover: SECOND,
            returns: Some(6 * SECOND),
            settle: 60 * SECOND,
            refunds: 20,
            lasts: 5 * SECOND / 2,
            breaker: Duration::from_secs(4),
            ..Self::large(seed)
        }
    }

    pub fn quota(&self) -> Quota {
        Quota::new(self.limit, Duration::from_micros(self.period))
    }

    pub fn policy(&self) -> Policy {
        Policy::new("fleet", self.quota())
    }
}

impl Mode {
    pub fn all() -> Vec<Self> {
        use Routing::{Connections, Spread};
        let closed = |name, has_deny_cache, lease, routing| {
            let on_error = OnError::Closed;
            Self { name, has_deny_cache, lease, on_error, routing }
        };
        let failing = |name, on_error, routing| Self {
            name,
            has_deny_cache: true,
            lease: 0,
            on_error,
            routing,
        };
        vec![
            closed("store alone", false, 0, Spread),
            closed("deny cache, spread", true, 0, Spread),
            closed("deny cache", true, 0, Connections),
            closed("leases, spread", true, 20, Spread),
            closed("leases", true, 20, Connections),
            failing("local, spread", OnError::Local, Spread),
            failing("local", OnError::Local, Connections),
            failing("open", OnError::Open, Connections),
        ]
    }

    pub fn tier(&self) -> LocalTier {
        let tier = if self.has_deny_cache { LocalTier::deny_cache() } else { LocalTier::none() };
        tier.lease(self.lease).max_keys(1_000)
    }

    pub fn breaker(&self, fleet: &Fleet, instance: usize) -> CircuitBreaker {
        let seed = fleet.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ instance as u64;
        CircuitBreaker::new().max_reset_timeout(fleet.breaker).seed(seed)
    }

    /// The longest time for which a refusal is remembered, in microseconds.
    pub fn max_age(&self) -> u64 {
        if self.has_deny_cache { SECOND } else { 0 }
    }

    /// The longest time between the charge of a request and its admission.
    pub fn hold(&self) -> u64 {
        if self.lease > 1 { SECOND } else { 0 }
    }
}
