//! Reports an argument of an annotated handler that is no extractor, at the argument.
//!
//! axum's traits have the application's state as a parameter, and only the router knows the state.
//! So an argument is wrong only if its type is an extractor for no state at all. Rust has no bound
//! for that, so [`__tollgate_arguments`] lets the compiler infer it, in four steps for each argument.
//! No step ever runs.
//!
//! 1. The candidate's type `X` has to fit one of two implementations of [`InParts`]: [`Never`], the
//!    type that is written `!`, always fits; [`Found`] fits if `T` is an extractor for the state
//!    `S`, which is still open. If `T` is an extractor for no state, only `Never` is left, so the
//!    compiler concludes that `X` is `Never`. Otherwise `X` stays open.
//! 2. The types of both branches have to agree: `X`, and the answer's type `E`. If `X` is open,
//!    `E` becomes the same type as `X`. If `X` is `Never`, the branches agree without that, because
//!    `!` is converted to any type, and `E` stays open.
//! 3. The first branch says that `X` is `Never` and `S` is `()`, which needs no extractor. So `E` is
//!    `Never`, too, if it is the same type as `X`. Then the branches agree. If `E` is open, it
//!    becomes [`NoExtractor`].
//! 4. `E` has to implement a trait that `Never` implements and `NoExtractor` does not. The error
//!    has that trait's text. Its place is that of `$open`, which is located at the argument.
//!
//! The steps are a macro by example, because the compiler expands it faster than generated code.

use std::marker::PhantomData;

use axum::extract::{FromRequest, FromRequestParts};

/// Names the output of a function. With it the type `!` can be named, which has no name on stable
/// Rust outside a function's signature.
pub trait Returns {
    /// The type of the output.
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// The type `!`.
type Never = <fn() -> ! as Returns>::Output;

/// The type `X` of an argument that is an extractor for the state `S`.
#[derive(Debug)]
pub struct Found;

/// The type `T` of an argument, with a state `S` and axum's marker `M`. Both are open, and `()` in
/// the end.
#[derive(Debug)]
pub struct Sought<T, S, M>(PhantomData<(T, S, M)>);

/// `X` may be [`Found`] if the argument can be extracted from the request's parts.
pub trait InParts<X> {}

impl<T, S, M> InParts<Never> for Sought<T, S, M> {}
impl<T: FromRequestParts<S>, S, M> InParts<Found> for Sought<T, S, M> {}

/// `X` may be [`Found`] if the argument can be extracted from the request.
pub trait InRequest<X> {}

impl<T, S, M> InRequest<Never> for Sought<T, S, M> {}
impl<T: FromRequest<S, M>, S, M> InRequest<Found> for Sought<T, S, M> {}

/// An argument, and the types `X` and `E` that the compiler infers for it.
#[derive(Debug)]
pub struct Candidate<Sought, X, E>(PhantomData<(Sought, X, E)>);

/// The first step for an argument that is not the last.
#[must_use]
pub const fn in_parts<T, S, M, X, E>() -> Candidate<Sought<T, S, M>, X, E>
where
    Sought<T, S, M>: InParts<X>,
{
    Candidate(PhantomData)
}

/// The first step for the last argument.
#[must_use]
pub const fn in_request<T, S, M, X, E>() -> Candidate<Sought<T, S, M>, X, E>
where
    Sought<T, S, M>: InRequest<X>,
{
    Candidate(PhantomData)
}

impl<Sought, X, E> Candidate<Sought, X, E> {
    /// Returns a value of the type `X`, for its type alone.
    #[must_use]
    #[expect(clippy::empty_loop, reason = "generated code mentions the method and never calls it")]
    pub const fn value(&self) -> X {
        loop {}
    }

    /// Returns a value of the type `E`, for its type alone.
    #[must_use]
    #[expect(clippy::empty_loop, reason = "generated code mentions the method and never calls it")]
    pub const fn answer(&self) -> E {
        loop {}
    }
}

impl<T, E> Candidate<Sought<T, (), ()>, Never, E> {
    /// Returns the answer that is right if `E` is still open.
    #[must_use]
    pub const fn no_extractor(&self) -> NoExtractor<T> {
        NoExtractor(PhantomData)
    }
}

/// The answer for an argument that is no extractor.
#[derive(Debug)]
pub struct NoExtractor<T>(PhantomData<T>);

/// The answer for an argument that can be extracted from the request's parts.
#[diagnostic::on_unimplemented(
    message = "`{T}` is no extractor that can come before the last argument",
    label = "this argument does not implement `FromRequestParts`",
    note = "an extractor of the body, such as `Json<T>`, `Form<T>`, `String` or `Bytes`, must be \
            the last argument: move it to the end",
    note = "`Path<T>` and `Query<T>` are extractors if `T` implements `serde::Deserialize`",
    note = "to limit a plain function, write `key = args(…)` with what it is called with"
)]
pub trait IsInParts<T> {}

#[diagnostic::do_not_recommend]
impl<T> IsInParts<T> for Never {}

/// The answer for an argument that can be extracted from the request.
#[diagnostic::on_unimplemented(
    message = "`{T}` is no extractor",
    label = "this argument implements neither `FromRequest` nor `FromRequestParts`",
    note = "`Json<T>`, `Form<T>`, `Path<T>` and `Query<T>` are extractors if `T` implements \
            `serde::Deserialize`",
    note = "to limit a plain function, write `key = args(…)` with what it is called with"
)]
pub trait IsInRequest<T> {}

#[diagnostic::do_not_recommend]
impl<T> IsInRequest<T> for Never {}

/// The last step for an argument that is not the last.
pub const fn report_in_parts<T, E: IsInParts<T>>(_: &Candidate<Sought<T, (), ()>, Never, E>) {}

/// The last step for the last argument.
pub const fn report_in_request<T, E: IsInRequest<T>>(_: &Candidate<Sought<T, (), ()>, Never, E>) {}

/// Does not compile if an argument is no extractor. For each argument it takes the functions of the
/// first and of the last step, the type, and a `_` that is located at the type.
#[doc(hidden)]
#[macro_export]
macro_rules! __tollgate_arguments {
    ($($begin:ident $report:ident $ty:ty, $open:ty;)*) => {
        const _: () = if false {
            $({
                let candidate = $crate::__private::$begin::<$ty, _, _, _, _>();
                let _ = if false { candidate.value() } else { candidate.answer() };
                let _ = if false { candidate.no_extractor() } else { candidate.answer() };
                $crate::__private::$report::<$ty, $open>(&candidate);
            })*
        };
    };
}
