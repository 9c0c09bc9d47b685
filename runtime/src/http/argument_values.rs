//! The values of a handler's arguments by which its limits count, for keys such as
//! `(args(login.email), ip)` and for `cost = args(…)`.

use std::fmt::Display;
use std::marker::PhantomData;

use axum::http::request::Parts;
use smallvec::SmallVec;

use super::limit::{Annotated, HttpLimit};
use crate::key::{KeyError, Resolved};
use crate::subject::Subject;

/// The values of all expressions in `args(…)` of one handler, in source order. They are among the
/// extensions of the request's head while limits check them, where keys and costs find the others
/// of a request's properties, too.
#[derive(Clone, Debug)]
pub struct ArgumentValues {
    subjects: SmallVec<[Subject; 2]>,
    costs: SmallVec<[u32; 2]>,
}

impl ArgumentValues {
    /// Collects the values of the expressions in keys and in costs.
    #[must_use]
    pub fn new(keys: &[&dyn Display], costs: &[u32]) -> Self {
        let subjects = keys.iter().map(|value| Subject::of(value)).collect();
        Self { subjects, costs: SmallVec::from_slice(costs) }
    }
}

/// Returns the subject of an expression in the key of a limit, by the expression's place among those
/// of the handler.
pub fn argument<const PLACE: usize>(parts: &Parts) -> Resolved<'_> {
    let arguments = parts.extensions.get::<ArgumentValues>();
    let subject = arguments.and_then(|arguments| arguments.subjects.get(PLACE)).cloned();
    Resolved::Now(subject.ok_or(KeyError::NoSubject))
}

/// Returns the cost of a limit, by its place among the handler's limits with `cost = args(…)`.
#[must_use]
pub fn argument_cost<const PLACE: usize>(parts: &Parts) -> u32 {
    let arguments = parts.extensions.get::<ArgumentValues>();
    // Values that are not there would be a mistake in the generated code, which admits nobody.
    arguments.and_then(|arguments| arguments.costs.get(PLACE)).copied().unwrap_or(u32::MAX)
}

/// The limits of a handler that also has limits which depend on its arguments. `A` provides those that
/// do not.
#[derive(Debug)]
pub struct ThenArguments<A>(PhantomData<A>);

impl<A: Annotated> Annotated for ThenArguments<A> {
    const KEEPS_HEAD: bool = true;

    fn limits() -> &'static [HttpLimit] {
        A::limits()
    }
}

/// Provides the limits of a handler all of whose limits depend on its arguments: none.
impl Annotated for () {
    fn limits() -> &'static [HttpLimit] {
        &[]
    }
}
