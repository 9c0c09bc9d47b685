//! The token bucket: a bucket of `burst` tokens, to which limit ÷ period come back in a
//! steady flow, and of which a request takes `cost`.
//!
//! `tokens = min(burst, tokens + elapsed × limit ÷ period)`; a request is admitted if there are
//! `cost` of them ([RFC 2697], §3, has it for bytes). With
//! `TAT = now + (burst − tokens) × period ÷ limit`, the time at which the bucket will be full,
//! this is exactly [`Gcra`](super::gcra), and stored as such: one number, the same
//! arithmetic, the same bound of burst + limit − 1 in any half-open interval of one period, which
//! is reached. A test compares the decisions with those of a bucket that counts tokens.
//!
//! [RFC 2697]: https://www.rfc-editor.org/rfc/rfc2697#section-3

pub(super) use super::gcra::Gcra as TokenBucket;
