//! The functions of the user that limits call.

use std::fmt;
use std::sync::Arc;

/// A user's function: a plain one, which a static can store, or a closure that the clones of a
/// layer share.
pub(crate) enum Callback<F, D: ?Sized> {
    Plain(F),
    #[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "only layers share closures"))]
    Shared(Arc<D>),
}

#[cfg(feature = "axum")]
impl<A, R> Callback<fn(&A) -> R, dyn Fn(&A) -> R + Send + Sync> {
    pub(crate) fn call(&self, argument: &A) -> R {
        match self {
            Self::Plain(function) => function(argument),
            Self::Shared(function) => function(argument),
        }
    }
}

impl<F: Copy, D: ?Sized> Clone for Callback<F, D> {
    fn clone(&self) -> Self {
        match self {
            Self::Plain(function) => Self::Plain(*function),
            Self::Shared(function) => Self::Shared(Arc::clone(function)),
        }
    }
}

impl<F, D: ?Sized> fmt::Debug for Callback<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

/// Stores a plain function in `option`. The previous value is forgotten and not dropped, because a
/// `const fn` cannot drop values.
pub(crate) const fn set_plain<F: Copy, D: ?Sized>(
    option: &mut Option<Callback<F, D>>,
    function: F,
) {
    std::mem::forget(option.replace(Callback::Plain(function)));
}
