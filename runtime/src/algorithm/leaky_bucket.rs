//! The leaky bucket: a bucket that holds `burst`, leaks limit ÷ period in a steady flow, and
//! into which a request pours `cost`.
//!
//! **Used as a meter** ([ITU-T I.371], annex A, the continuous-state leaky bucket): a request is admitted
//! if its cost still fits. The level is `(TAT − now) × limit ÷ period`, so this is
//! [`Gcra`](super::gcra) by another name, with the same bound of burst + limit − 1 in any half-open
//! interval of one period, which is reached. A test compares the decisions with those of a bucket
//! that stores its level.
//!
//! **Used as a queue**, in which calls wait: they leave one by one, spaced by period ÷
//! limit, and the bucket is the line in which they stand. See [`spaced`].
//!
//! [ITU-T I.371]: https://www.itu.int/rec/T-REC-I.371

pub(super) use super::gcra::Gcra as LeakyBucket;
use crate::Policy;

/// Returns the policy by which the first request in the queue leaves. It may use no more of the
/// bucket than its own cost, so it waits until the bucket is empty: one interval for each unit of
/// the cost after the request before it.
pub(crate) fn spaced(policy: &Policy, cost: u32) -> Policy {
    policy.clone().map_quotas(|quota| quota.using(cost))
}
