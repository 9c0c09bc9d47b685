//! The token bucket: a bucket of `burst` tokens that is refilled steadily at limit ÷ period, and
//! from which each request takes its cost.
//!
//! `tokens = min(burst, tokens + elapsed × limit ÷ period)`; a request is admitted if the bucket
//! contains at least `cost` tokens ([RFC 2697], §3, defines this for bytes). With
//! `TAT = now + (burst − tokens) × period ÷ limit`, the time at which the bucket will be full, this
//! decides exactly like [`Gcra`](super::gcra). So its state is stored in the same way, as one
//! number, and the bound is the same: burst + limit − 1 in any half-open interval of one period. It
//! is reached. A test compares the decisions with those of a bucket that counts tokens.
//!
//! [RFC 2697]: https://www.rfc-editor.org/rfc/rfc2697#section-3

pub(super) use super::gcra::Gcra as TokenBucket;
