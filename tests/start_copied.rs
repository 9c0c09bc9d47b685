//! An annotation that another attribute has copied does not start: calls would be counted at both
//! functions. This program has such an attribute.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use copying::copied;
use support::limiter;
use tollgate::{Limiter, RateLimited, StartError, rate_limit};

#[copied]
#[rate_limit(2, per = minute, key = args(id))]
async fn order(id: u32) -> Result<u32, RateLimited> {
    Ok(id)
}

/// Functions that a macro by example makes are no copies: each has an annotation of its own.
macro_rules! functions {
    ($($name:ident)*) => {$(
        #[rate_limit(2, per = minute, key = args(id))]
        async fn $name(id: u32) -> Result<u32, RateLimited> {
            Ok(id)
        }
    )*};
}

functions!(receipt parcel);

#[tokio::test]
async fn the_error_names_both_functions_and_the_remedy() {
    let (limiter, _clock) = limiter();
    let error = limiter.initialize().await.unwrap_err();
    // `main` prints this text.
    let printed = format!("{error:?}");
    assert!(printed.contains("`start_copied::order`"), "{printed}");
    assert!(printed.ends_with("write `#[rate_limit]` above that attribute"), "{printed}");
    let StartError::Copied { functions, place, .. } = error else { panic!("{error}") };
    assert_eq!(functions, ["start_copied::order", "start_copied::order_uncached"]);
    assert_eq!(place, "tests/start_copied.rs:11");
    assert!(order(1).await.is_err() && order_uncached(1).await.is_err());
}

#[test]
fn all_of_them_are_listed() {
    let mut names: Vec<_> = Limiter::policies().map(|policy| policy.name().to_owned()).collect();
    names.sort();
    let expected = ["order", "order_uncached", "parcel", "receipt"];
    assert_eq!(names, expected.map(|name| format!("start_copied::{name}")));
    let _ = (receipt(1), parcel(1));
}
