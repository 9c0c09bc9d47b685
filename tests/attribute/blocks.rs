//! Handlers and methods in `impl` blocks, and where annotations can stand.

use std::marker::PhantomData;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use support::{header, limiter, local, send};
use tollgate::{Limiter, RateLimited, rate_limit, testing};

#[derive(Clone)]
struct Api<T> {
    name: &'static str,
    kind: PhantomData<T>,
}

#[rate_limit]
impl<T: Clone + Send + Sync + 'static> Api<T> {
    const KIND: &'static str = "api";

    /// A handler that names its own type.
    #[rate_limit(1, per = minute)]
    async fn name(State(api): State<Self>) -> String {
        format!("{} {}", Self::KIND, api.name)
    }

    #[rate_limit(1, per = minute, key = global)]
    #[rate_limit(2, per = hour, key = global)]
    pub(crate) async fn list() -> Json<Vec<u32>> {
        Json(vec![1])
    }

    fn unlimited(&self) -> &'static str {
        self.name
    }

    #[rate_limit(1, per = minute, key = args(self.name))]
    async fn call(&self) -> Result<&'static str, RateLimited> {
        Ok(self.unlimited())
    }
}

struct Other;

#[rate_limit]
impl Other {
    #[rate_limit(1, per = minute)]
    async fn list() -> &'static str {
        "other"
    }
}

#[tokio::test]
async fn associated_functions_are_handlers() {
    let (limiter, _clock) = limiter();
    let api = Api::<u8> { name: "n", kind: PhantomData };
    let routes = Router::new()
        .route("/name", get(Api::<u8>::name))
        .route("/list", get(Api::<u8>::list))
        .route("/other", get(Other::list))
        .with_state(api.clone());
    let app = local(routes, &limiter);
    for (path, body) in [("/name", "api n"), ("/list", "[1]"), ("/other", "other")] {
        let first = send(&app, support::get(path)).await;
        assert!(header(&first, "ratelimit").is_some());
        assert_eq!(support::text(first).await, body);
        assert_eq!(send(&app, support::get(path)).await.status(), 429);
    }
    testing::scope(limiter, async {
        assert_eq!(api.call().await.unwrap(), "n");
        assert!(api.call().await.is_err());
    })
    .await;
}

/// Handlers inside a function, and from a macro.
#[tokio::test]
async fn annotations_can_stand_anywhere() {
    const LIMIT: u32 = 1;

    #[rate_limit(LIMIT, per = minute)]
    async fn local_handler() {}

    macro_rules! handler {
        ($name:ident, $limit:expr, $period:expr) => {
            #[rate_limit($limit, per = $period)]
            async fn $name() {}
        };
    }
    handler!(from_a_macro, LIMIT, 60);

    let routes = Router::new().route("/l", get(local_handler)).route("/m", get(from_a_macro));
    let app = local(routes, &limiter().0);
    for path in ["/l", "/m"] {
        assert_eq!(send(&app, support::get(path)).await.status(), 200);
        assert_eq!(send(&app, support::get(path)).await.status(), 429);
    }
}

#[test]
fn the_registry_knows_them_all_by_their_paths() {
    let mut names: Vec<_> = Limiter::policies().map(|policy| policy.name()).collect();
    names.retain(|name| name.starts_with(concat!(module_path!(), "::")));
    names.sort_unstable();
    let expected = [
        "attribute::blocks::Api::call",
        "attribute::blocks::Api::list",
        "attribute::blocks::Api::name",
        "attribute::blocks::Conditional::call",
        "attribute::blocks::Conditional::limited",
        "attribute::blocks::Conditional::stacked",
        "attribute::blocks::Generic::status",
        "attribute::blocks::Other::list",
        "attribute::blocks::Other::status",
        "attribute::blocks::from_a_macro",
        "attribute::blocks::local_handler",
    ];
    assert_eq!(names, expected);
    let call =
        Limiter::policies().find(|policy| policy.name() == "attribute::blocks::Api::call").unwrap();
    let line = include_str!("blocks.rs").lines().nth(call.line() as usize - 1).unwrap();
    assert_eq!((call.file(), line.trim()), ("tests/attribute/blocks.rs", "#[rate_limit]"));
}

struct Conditional;

/// The compiler has not looked at these conditions when the block's attribute is expanded.
#[rate_limit]
impl Conditional {
    #[cfg_attr(test, rate_limit(1, per = minute), cfg(test))]
    async fn limited() {}

    #[cfg_attr(not(test), rate_limit(1, per = minute))]
    async fn unlimited() {}

    // Written side by side, these two would be a mistake.
    #[cfg_attr(test, rate_limit(1, per = minute, key = args(), algorithm = gcra))]
    #[cfg_attr(not(test), rate_limit(5, per = minute, key = args(), algorithm = gcra))]
    async fn call() -> Result<(), RateLimited> {
        Ok(())
    }

    #[cfg_attr(test, cfg_attr(test, rate_limit(2, per = minute)))]
    #[cfg_attr(not(test), rate_limit(5, per = minute))]
    #[rate_limit(1, per = hour)]
    async fn stacked() {}
}

#[tokio::test]
async fn an_attribute_may_have_a_condition() {
    let (limiter, _clock) = limiter();
    let routes = Router::new()
        .route("/limited", get(Conditional::limited))
        .route("/unlimited", get(Conditional::unlimited))
        .route("/stacked", get(Conditional::stacked));
    let app = local(routes, &limiter);
    for (path, third) in [("/limited", 429), ("/unlimited", 200), ("/stacked", 429)] {
        assert_eq!(send(&app, support::get(path)).await.status(), 200, "{path}");
        assert_eq!(send(&app, support::get(path)).await.status(), third, "{path}");
    }
    testing::scope(limiter, async {
        assert!(Conditional::call().await.is_ok());
        assert!(Conditional::call().await.is_err());
    })
    .await;
}

/// Types that a macro is given. Each has a limit of its own, though both are written once.
macro_rules! with_status {
    ($($ty:ty => $body:block)*) => {$(
        #[rate_limit]
        impl $ty {
            #[rate_limit(1, per = minute)]
            async fn status() -> &'static str $body
        }
    )*};
}

struct Generic<T>(PhantomData<T>);

with_status! {
    Other => { "other" }
    Generic<u8> => { "generic" }
}

#[tokio::test]
async fn a_block_may_come_from_a_macro() {
    let (limiter, _clock) = limiter();
    let routes = Router::new()
        .route("/other", get(Other::status))
        .route("/generic", get(Generic::<u8>::status));
    let app = local(routes, &limiter);
    for path in ["/other", "/generic"] {
        assert_eq!(send(&app, support::get(path)).await.status(), 200, "{path}");
        assert_eq!(send(&app, support::get(path)).await.status(), 429, "{path}");
    }
}
