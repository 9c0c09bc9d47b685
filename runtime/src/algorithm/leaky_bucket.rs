//! The leaky bucket: a bucket of `burst` units that leaks steadily at limit ÷ period, and into
//! which each request pours its cost.
//!
//! **Used as a meter** ([ITU-T I.371], annex A, the continuous-state leaky bucket): a request is
//! admitted if its cost still fits into the bucket. The level is `(TAT − now) × limit ÷ period`, so
//! this decides exactly like [`Gcra`](super::gcra). The bound is the same, too: burst + limit − 1
//! in any half-open interval of one period. It is reached. A test compares the decisions with those
//! of a bucket that stores its level.
//!
//! **Used as a queue**: calls wait in the bucket and leave it one by one, period ÷ limit apart. See
//! [`spaced`].
//!
//! [ITU-T I.371]: https://www.itu.int/rec/T-REC-I.371

pub(super) use super::gcra::Gcra as LeakyBucket;
use crate::Policy;

/// Returns the policy that decides when the first request in the queue may leave. The request may
/// use no more of the bucket than its own cost, so it waits until the bucket is empty. So it leaves
/// one interval after the request before it for each unit of that request's cost.
pub(crate) fn spaced(policy: &Policy, cost: u32) -> Policy {
    policy.clone().map_quotas(|quota| quota.using(cost))
}
