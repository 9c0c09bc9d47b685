//! The leaky bucket: a bucket that holds `burst`, leaks limit ÷ period in a steady flow, and
//! into which a request pours `cost`.
//!
//! **As a meter** ([ITU-T I.371], annex A, the continuous-state leaky bucket): a request is admitted
//! if its cost still fits. The level is `(TAT − now) × limit ÷ period`, so this is
//! [`Gcra`](super::gcra) in other words, with the same bound of burst + limit − 1 in any half-open
//! interval of one period, which is reached. That the two decide alike is tested against a bucket
//! that keeps its level.
//!
//! **As a queue**, where calls wait for their turn: they leave one by one, spaced by period ÷
//! limit, and the bucket is the line in which they stand. See [`spaced`].
//!
//! [ITU-T I.371]: https://www.itu.int/rec/T-REC-I.371

pub(super) use super::gcra::Gcra as LeakyBucket;
use crate::Policy;

/// The policy by which the first in line leaves: once the bucket is empty, that is one
/// interval for each unit of the cost after the one before it. Who may use no more of the bucket
/// than this cost has to wait for that.
pub(crate) fn spaced(policy: &Policy, cost: u32) -> Policy {
    policy.clone().map_quotas(|quota| quota.using(cost))
}
