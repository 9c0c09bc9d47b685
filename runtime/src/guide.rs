//! The guide: a page for each question that comes up between the first limit and production. All
//! code in it is compiled, and run where possible.
//!
//! # By task
//!
//! | to do | page |
//! |---|---|
//! | go to production | [the checklist](production) |
//! | find the number to write | [the command `tollgate`](command), [algorithms] |
//! | count by something else than the address | [keys] |
//! | know who the client is behind nginx, HAProxy, a CDN, on a Unix socket | [behind a proxy](behind_a_proxy) |
//! | share limits among processes | [distributed use](distributed), [`RedisBackend`](crate::RedisBackend) |
//! | know what a thousand instances do to each other and to the store | [a fleet](fleet) |
//! | survive the store's failure | [`OnError`](crate::OnError), [`LocalTier`](crate::LocalTier) |
//! | know when a request is counted, given back, cut off | [requests] |
//! | limit how many are open at a time | [requests in flight](in_flight) |
//! | place limits among routes, 404s, streams of events, WebSockets | [routes] |
//! | serve scripts of other sites, and people | [CORS and browsers](browsers) |
//! | choose header fields, and know who obeys them | [clients] |
//! | protect sign-in | [sign-in](sign_in) |
//! | budget tokens, rows, bytes | [settlements](macro@crate::rate_limit#settlements), [in functions](functions#calls-of-different-cost) |
//! | give customers different limits | [plans] |
//! | limit functions, jobs and calls to others | [functions], [outgoing calls](outgoing) |
//! | use attributes of other crates on the same function | [other attributes](other_attributes) |
//! | use another framework than axum | [other frameworks](other_frameworks) |
//! | limit gRPC | [gRPC](grpc) |
//! | describe limits in an OpenAPI document | [OpenAPI](openapi) |
//! | test limits | [`testing`](crate::testing) |
//! | change limits while the program runs | [`Config`](crate::Config), [`Dashboard`](crate::Dashboard) |
//! | watch them | [`Metrics`](crate::Metrics), [`telemetry`](crate::telemetry) |
//! | know what an attacker can do | [security] |
//! | see that the tests hold what the pages promise | [promises] |
//! | write a store | [backends] |
//! | come from another library | [`tower_governor`](from_tower_governor), [`axum-governor`](from_axum_governor), [`limitador`](from_limitador), [`fastapi_traffic`](from_python) |
//!
//! The attribute is described at [`rate_limit`](macro@crate::rate_limit).

#[doc = include_str!("docs/guide/algorithms.md")]
#[doc = include_str!("docs/guide/algorithms.svg")]
pub mod algorithms {}

#[doc = include_str!("docs/guide/production.md")]
#[cfg(all(
    feature = "axum",
    feature = "config",
    feature = "dashboard",
    feature = "metrics",
    feature = "redis"
))]
pub mod production {}

#[doc = include_str!("docs/guide/keys.md")]
#[cfg(feature = "axum")]
pub mod keys {}

#[doc = include_str!("docs/guide/behind_a_proxy.md")]
#[cfg(feature = "axum")]
pub mod behind_a_proxy {}

#[doc = include_str!("docs/guide/distributed.md")]
#[cfg(all(feature = "axum", feature = "redis"))]
pub mod distributed {}

#[doc = include_str!("docs/guide/fleet.md")]
pub mod fleet {}

#[doc = include_str!("docs/guide/requests.md")]
#[cfg(feature = "axum")]
pub mod requests {}

#[doc = include_str!("docs/guide/routes.md")]
#[cfg(feature = "axum")]
pub mod routes {}

#[doc = include_str!("docs/guide/browsers.md")]
#[cfg(feature = "axum")]
pub mod browsers {}

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

#[doc = include_str!("docs/guide/outgoing.md")]
pub mod outgoing {}

#[doc = include_str!("docs/guide/other_frameworks.md")]
#[cfg(feature = "axum")]
pub mod other_frameworks {}

#[doc = include_str!("docs/guide/other_attributes.md")]
#[cfg(feature = "axum")]
pub mod other_attributes {}

#[doc = include_str!("docs/guide/clients.md")]
#[cfg(feature = "axum")]
pub mod clients {}

#[doc = include_str!("docs/guide/security.md")]
#[cfg(feature = "axum")]
pub mod security {}

#[doc = include_str!("docs/guide/promises.md")]
#[cfg(all(feature = "axum", feature = "config", feature = "redis"))]
pub mod promises {}

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

#[doc = include_str!("docs/guide/from_limitador.md")]
#[cfg(all(feature = "axum", feature = "config", feature = "dashboard", feature = "redis"))]
pub mod from_limitador {}

#[doc = include_str!("docs/guide/from_python.md")]
#[cfg(all(feature = "axum", feature = "redis"))]
pub mod from_python {}
