//! The local tier decides nothing that its store would not: the deny cache refuses what the store
//! would refuse, and a lease hands out what the store has charged.

mod deny_cache;
mod given_up;
mod lease;
mod lease_traces;
mod traces;
