//! The guide: a page for each question that comes up between the first limit and production. All
//! code in it is compiled, and run where possible.
//!
//! The reference covers other topics: [`rate_limit`](macro@crate::rate_limit) describes the
//! attribute, [`testing`](crate::testing) describes tests of limited handlers,
//! [`OnError`](crate::OnError) describes the behaviour while a store fails, and
//! [`LocalTier`](crate::LocalTier) describes decisions that are made without asking the store.

#[doc = include_str!("docs/guide/algorithms.md")]
#[doc = include_str!("docs/guide/algorithms.svg")]
pub mod algorithms {}

#[doc = include_str!("docs/guide/keys.md")]
#[cfg(feature = "axum")]
pub mod keys {}

#[doc = include_str!("docs/guide/behind_a_proxy.md")]
#[cfg(feature = "axum")]
pub mod behind_a_proxy {}

#[doc = include_str!("docs/guide/distributed.md")]
#[cfg(all(feature = "axum", feature = "redis"))]
pub mod distributed {}

#[doc = include_str!("docs/guide/requests.md")]
#[cfg(feature = "axum")]
pub mod requests {}

#[doc = include_str!("docs/guide/in_flight.md")]
#[cfg(all(feature = "axum", feature = "config", feature = "dashboard", feature = "redis"))]
pub mod in_flight {}

#[doc = include_str!("docs/guide/plans.md")]
#[cfg(all(feature = "axum", feature = "config"))]
pub mod plans {}

#[doc = include_str!("docs/guide/sign_in.md")]
#[cfg(feature = "axum")]
pub mod sign_in {}

#[doc = include_str!("docs/guide/functions.md")]
pub mod functions {}

#[doc = include_str!("docs/guide/grpc.md")]
#[cfg(feature = "tonic")]
pub mod grpc {}

#[doc = include_str!("docs/guide/openapi.md")]
#[cfg(feature = "utoipa")]
pub mod openapi {}

#[doc = include_str!("docs/guide/clients.md")]
#[cfg(feature = "axum")]
pub mod clients {}

#[doc = include_str!("docs/guide/security.md")]
#[cfg(feature = "axum")]
pub mod security {}

#[doc = include_str!("docs/guide/command.md")]
#[cfg(all(feature = "axum", feature = "config", feature = "redis"))]
pub mod command {}

#[doc = include_str!("docs/guide/backends.md")]
pub mod backends {}

#[doc = include_str!("docs/guide/from_tower_governor.md")]
#[cfg(feature = "axum")]
pub mod from_tower_governor {}

#[doc = include_str!("docs/guide/from_axum_governor.md")]
#[cfg(feature = "axum")]
pub mod from_axum_governor {}

#[doc = include_str!("docs/guide/from_python.md")]
#[cfg(all(feature = "axum", feature = "redis"))]
pub mod from_python {}
