//! What a limiter decides: the algorithms, the store in memory, and what stands before other stores.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod algorithms;
mod banned_keys;
mod bans;
mod blocked;
mod blocks;
mod calendars;
mod capabilities;
mod conformance;
mod invalid_overrides;
mod local_tier;
mod memory_bound;
mod other_stores;
mod outage;
mod overridden_bans;
mod per_subject;
mod refunds;
mod settle;
mod units_won;
mod waiting;
mod waiting_far;
mod waiting_wakes;
