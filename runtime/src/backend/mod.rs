//! Stores of your own: the operations that a [`Backend`] carries out, its answers, and
//! the builders of the backends that come with the crate.
//!
//! A [`Backend`] receives [`Operation`]s, each with an [`Action`], and returns an
//! [`Answer`] for each; that of a check has a [`Verdict`]. It describes itself by a [`BackendInfo`].

mod gauges;
pub(crate) mod identity;
mod info;
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod store;

pub(crate) use self::gauges::Gauges;
pub use self::info::BackendInfo;
pub use self::memory::MemoryBackendBuilder;
#[cfg(feature = "redis")]
pub use self::redis::{
    RedisBackendBuilder, RedisCredentials, StoredForm, StoredKey, StoredKeys, StoredState,
};
pub(crate) use self::store::Backend;
pub use crate::error::Execution;
pub use crate::operation::{Action, Answer, Operation};
pub use crate::verdict::Verdict;
