//! Extractors of one state, of several, of any state with a part, and of any state: none of them is
//! taken for something that is no extractor.
#![deny(warnings, unused_qualifications)]
#![forbid(unreachable_code, unused_variables)]
#![allow(clippy::too_many_arguments, clippy::multiple_bound_locations, clippy::non_minimal_cfg)]

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{
    Extension, FromRef, FromRequest, FromRequestParts, Path, Query, RawForm, Request, State,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, Version};
use axum::routing::{get, post};
use axum::{Json, Router};
use tollgate::{RateLimit, rate_limit};

#[derive(Clone)]
struct App(Store);

#[derive(Clone)]
struct Admin(Store);

#[derive(Clone)]
struct Store;

impl FromRef<App> for Store {
    fn from_ref(app: &App) -> Self {
        app.0.clone()
    }
}

impl FromRef<Admin> for Store {
    fn from_ref(admin: &Admin) -> Self {
        admin.0.clone()
    }
}

trait HasStore {}

impl HasStore for App {}
impl HasStore for Admin {}

/// Declares an extractor of the parts, for the states in the braces.
macro_rules! extractor {
    ($name:ident { $([$($generics:tt)*] $state:ty),* }) => {
        struct $name;

        $(impl<$($generics)*> FromRequestParts<$state> for $name {
            type Rejection = Infallible;

            async fn from_request_parts(_: &mut Parts, _: &$state) -> Result<Self, Infallible> {
                Ok(Self)
            }
        })*
    };
}

extractor!(OfOne { [] App });
extractor!(OfTwo { [] App, [] Admin });
extractor!(OfAny { [S: Send + Sync] S });
extractor!(OfMarked { [S: HasStore + Send + Sync] S });

struct OfPart;

impl<S: Send + Sync> FromRequestParts<S> for OfPart
where
    Store: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

struct OfWhole;

impl<S: Send + Sync> FromRequestParts<S> for OfWhole
where
    App: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

/// An extractor of the parts or of the body, as its content is.
struct New<T>(#[allow(dead_code)] T);

impl<T: FromRequestParts<S>, S: Send + Sync> FromRequestParts<S> for New<T> {
    type Rejection = T::Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, T::Rejection> {
        T::from_request_parts(parts, state).await.map(Self)
    }
}

impl<T: FromRequest<S>, S: Send + Sync> FromRequest<S> for New<T> {
    type Rejection = T::Rejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, T::Rejection> {
        T::from_request(request, state).await.map(Self)
    }
}

struct BodyOfOne;

impl FromRequest<App> for BodyOfOne {
    type Rejection = Infallible;

    async fn from_request(_: Request, _: &App) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

type Alias<T> = New<T>;

macro_rules! of_part {
    () => {
        OfPart
    };
}

#[rate_limit(100, per = 60)]
async fn own(_: OfOne, _: OfTwo, _: OfAny, _: OfMarked, _: OfPart, _: OfWhole, _: BodyOfOne) {}

#[rate_limit(100, per = 60)]
async fn one(_: OfPart) {}

#[rate_limit(100, per = 60)]
async fn wrapped(_: New<OfPart>, _: Alias<OfTwo>, _: of_part!(), _: Alias<BodyOfOne>) {}

#[rate_limit(100, per = 60)]
async fn states(_: State<App>, _: State<Store>, _: (OfPart, (OfTwo, State<Store>)), _: ()) {}

#[rate_limit(100, per = 60)]
async fn fallible(
    _: Option<Path<u32>>,
    _: Result<Path<u32>, PathRejection>,
    _: Result<Json<u32>, JsonRejection>,
) {
}

#[rate_limit(100, per = 60)]
async fn within(_: HeaderMap, _: (OfPart, Option<Json<u32>>)) {}

#[rate_limit(100, per = 60)]
async fn generic<T: Send + 'static, E>(_: New<OfOne>, _: Extension<T>, _: E)
where
    T: Clone + Sync,
    E: FromRequest<App> + Send + 'static,
{
}

#[rate_limit(100, per = 60)]
#[allow(dead_code)]
async fn opaque(_: impl FromRequestParts<App> + Send, _: impl FromRequest<App> + Send) {}

#[rate_limit(100, per = 60)]
async fn conditional(
    #[cfg(not(all()))] _: Missing,
    _: OfOne,
    #[cfg(all())] _: String,
    #[cfg(any())] _: OfTwo,
) {
}

#[rate_limit(100, per = 60)]
#[cfg(any())]
async fn absent(_: Missing) {}

#[rate_limit(100, per = 60)]
async fn sixteen(
    _: OfOne,
    _: OfTwo,
    _: OfAny,
    _: OfMarked,
    _: OfPart,
    _: OfWhole,
    _: State<Store>,
    _: Method,
    _: Uri,
    _: Version,
    _: HeaderMap,
    _: Query<()>,
    _: Extension<u8>,
    _: RateLimit,
    _: Parts,
    _: Json<u32>,
) {
}

#[derive(Clone)]
struct Api<T>(T);

#[rate_limit]
impl<T: Clone + Send + Sync + 'static> Api<T> {
    #[rate_limit(100, per = 60)]
    async fn of_the_block(_: State<Api<T>>, _: Extension<T>, _: Bytes) {}
}

fn main() {
    fn local() -> Router<App> {
        struct Local;

        impl FromRequestParts<App> for Local {
            type Rejection = Infallible;

            async fn from_request_parts(_: &mut Parts, _: &App) -> Result<Self, Infallible> {
                Ok(Self)
            }
        }

        #[rate_limit(100, per = 60)]
        async fn handler(_: Local, _: Body) {}

        Router::new().route("/local", post(handler))
    }

    let _: Router<Admin> = Router::new().route("/one", get(one));
    let _: Router = Router::new().route("/block", get(Api::<u8>::of_the_block)).with_state(Api(1));
    let _: Router = Router::new()
        .route("/own", post(own))
        .route("/one", get(one))
        .route("/wrapped", post(wrapped))
        .route("/states", get(states))
        .route("/fallible", post(fallible))
        .route("/within", post(within))
        .route("/generic", post(generic::<u8, RawForm>))
        .route("/conditional", post(conditional))
        .route("/sixteen", post(sixteen))
        .merge(local())
        .with_state(App(Store));
}
