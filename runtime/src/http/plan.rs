//! The functions that find another quota for a request, such as that of the customer's plan.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::request::Parts;

use crate::overrides::FailedLookup;
use crate::policy::MAX_QUOTAS;
use crate::{Policy, Quota};

/// The cause for which a quota could not be found.
type BoxError = Box<dyn Error + Send + Sync>;
/// A quota in the place of the declared one, or `None` if that stays.
type FoundQuota = Result<Option<Quota>, BoxError>;

/// The answer of a [`QuotaFunction`]: it is known, or has to be awaited.
pub enum LookedUp<'a> {
    Now(FoundQuota),
    Later(Pin<Box<dyn Future<Output = FoundQuota> + Send + 'a>>),
}

/// A function of an attribute, which a static can store.
type PlainFunction = for<'a> fn(&'a Parts) -> LookedUp<'a>;
type SharedFunction = dyn for<'a> Fn(&'a Parts) -> LookedUp<'a> + Send + Sync;

/// The functions of a limit that find other quotas in the place of its own.
#[derive(Clone)]
pub(super) enum Plans {
    /// Those of attributes, in the order of the policy's quotas.
    Plain([Option<PlainFunction>; MAX_QUOTAS]),
    /// That of a layer, for the first quota of the policy.
    Shared(Arc<SharedFunction>),
}

impl Plans {
    pub(super) fn shared<M>(function: impl QuotaFunction<M>) -> Self {
        Self::Shared(Arc::new(move |parts| function.look_up(parts)))
    }

    /// Creates the plans with the function of one quota.
    pub(super) const fn one(index: usize, function: PlainFunction) -> Self {
        let mut functions = [None; MAX_QUOTAS];
        functions[index] = Some(function);
        Self::Plain(functions)
    }

    /// Adds the function of another quota.
    pub(super) const fn set(&mut self, index: usize, function: PlainFunction) {
        if let Self::Plain(functions) = self {
            functions[index] = Some(function);
        }
    }

    /// Returns the quotas of the policy for a request, or `None` if they are those of the policy. The
    /// functions are asked one after the other.
    pub(super) async fn quotas(
        &self,
        policy: &Policy,
        parts: &Parts,
    ) -> Result<Option<Vec<Quota>>, FailedLookup> {
        let mut quotas = policy.quotas().to_vec();
        let mut is_changed = false;
        for (index, quota) in quotas.iter_mut().enumerate() {
            let looked_up = match self {
                Self::Plain(functions) => {
                    functions.get(index).copied().flatten().map(|it| it(parts))
                }
                Self::Shared(function) => (index == 0).then(|| function(parts)),
            };
            let found = match looked_up {
                None => continue,
                Some(LookedUp::Now(found)) => found,
                Some(LookedUp::Later(future)) => future.await,
            };
            let found = found.map_err(|error| {
                let error = Box::new(NotFound(error));
                FailedLookup { setting: "quota", error }
            })?;
            if let Some(found) = found {
                *quota = found;
                is_changed = true;
            }
        }
        Ok(is_changed.then_some(quotas))
    }
}

/// The error of a function that could not find a quota.
#[derive(Debug, thiserror::Error)]
#[error("the quota of the request could not be found")]
struct NotFound(#[source] BoxError);

/// A function that returns another quota for a request, in the place of the declared one: that of a
/// customer's plan, for instance. It takes the request's head (`&Parts`), and returns
/// `Option<Quota>` or `Result<Option<Quota>, E>`, or is async and does so.
///
/// `None` stands for the declared quota. After an error, the limit does what its `on_error` says. No
/// type but a function can implement this. `M` is only there to tell the kinds of functions apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no function that finds the quota of a request",
    label = "it takes `&Parts`, and returns `Option<Quota>` or `Result<Option<Quota>, E>`",
    note = "it may be async; the future must be `Send`, and `E` an error, or text"
)]
pub trait QuotaFunction<M>: Send + Sync + 'static {
    /// Calls the function.
    #[doc(hidden)]
    fn look_up<'a>(&self, parts: &'a Parts) -> LookedUp<'a>;
}

impl<F, R> QuotaFunction<fn() -> R> for F
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: QuotaAnswer,
{
    fn look_up<'a>(&self, parts: &'a Parts) -> LookedUp<'a> {
        LookedUp::Now(self(parts).found())
    }
}

/// The mark of async functions.
#[derive(Debug)]
pub struct Awaited<R>(PhantomData<R>);

impl<F, R> QuotaFunction<Awaited<R>> for F
where
    F: for<'a> AsyncQuotaFunction<'a, Output = R> + Send + Sync + 'static,
    R: QuotaAnswer,
{
    fn look_up<'a>(&self, parts: &'a Parts) -> LookedUp<'a> {
        let answer = self.call(parts);
        LookedUp::Later(Box::pin(async move { answer.await.found() }))
    }
}

/// An async function of a request's head. A trait of one lifetime can name the future, which borrows
/// the head.
pub trait AsyncQuotaFunction<'a> {
    type Output;
    type Future: Future<Output = Self::Output> + Send + 'a;

    fn call(&self, parts: &'a Parts) -> Self::Future;
}

impl<'a, F, T> AsyncQuotaFunction<'a> for F
where
    F: Fn(&'a Parts) -> T,
    T: Future + Send + 'a,
{
    type Output = T::Output;
    type Future = T;

    fn call(&self, parts: &'a Parts) -> T {
        self(parts)
    }
}

/// A type that a [`QuotaFunction`] may return.
pub trait QuotaAnswer {
    fn found(self) -> FoundQuota;
}

impl QuotaAnswer for Option<Quota> {
    fn found(self) -> FoundQuota {
        Ok::<_, Infallible>(self).found()
    }
}

impl<E: Into<BoxError>> QuotaAnswer for Result<Option<Quota>, E> {
    fn found(self) -> FoundQuota {
        self.map_err(Into::into)
    }
}

/// Asks the function of an attribute for the quota of a request.
pub fn look_up<'a, M>(function: &impl QuotaFunction<M>, parts: &'a Parts) -> LookedUp<'a> {
    function.look_up(parts)
}

impl fmt::Debug for LookedUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookedUp").finish_non_exhaustive()
    }
}
