//! Overrides: the errors in them, and in the words of which they consist.
//!
//! An override is a setting by which an operator replaces one of a declared policy.
//! [`Override`] has the settings of one policy, and [`Overrides`]
//! those of several.

pub(crate) mod by_name;
mod derived;
mod effective;
mod error;
mod narrowed;
mod origin;
pub(crate) mod per_subject;
pub(crate) mod settings;
mod subject_function;
mod table;
#[cfg(any(feature = "config", feature = "dashboard"))]
mod written;

pub(crate) use self::by_name::Overrides;
#[cfg(feature = "axum")]
pub(crate) use self::derived::DerivedPolicies;
pub(crate) use self::effective::EffectivePolicy;
#[cfg(feature = "axum")]
pub(crate) use self::effective::Overridden;
pub use self::error::{OverrideMistake, OverridesError};
#[cfg(feature = "dashboard")]
pub(crate) use self::origin::Origin;
pub(crate) use self::per_subject::SubjectOverrides;
pub(crate) use self::settings::Override;
pub(crate) use self::subject_function::{FailedLookup, RequestHead};
pub use self::subject_function::{SubjectAnswer, SubjectFunction, SubjectLookup};
pub(crate) use self::table::OverrideTable;
#[cfg(any(feature = "config", feature = "dashboard"))]
pub(crate) use self::written::{WrittenPeriod, written_ban, written_quota};
pub use crate::policy::UnknownWord;
