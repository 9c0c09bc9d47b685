//! The limiter that annotated functions ask.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use crate::{Limiter, MemoryBackend};

static GLOBAL: ArcSwapOption<Limiter> = ArcSwapOption::const_empty();

/// What serves until [`set_limiter`] is called.
static FALLBACK: OnceLock<Limiter> = OnceLock::new();

tokio::task_local! {
    static SCOPED: Limiter;
}

/// Makes `limiter` the one that annotated functions ask. Call it again to replace it; requests
/// under way finish with the one that they began with.
pub fn set_limiter(limiter: Limiter) {
    GLOBAL.store(Some(Arc::new(limiter)));
}

/// The limiter that was last set. If none was, one in memory, with a warning the first time.
#[must_use]
pub fn get_limiter() -> Limiter {
    with_global(Limiter::clone)
}

fn with_global<T>(ask: impl FnOnce(&Limiter) -> T) -> T {
    match &*GLOBAL.load() {
        Some(limiter) => ask(limiter),
        None => ask(FALLBACK.get_or_init(|| {
            tracing::warn!(
                "no limiter was set: limits are counted in this process's memory. Call \
                 `tollgate::set_limiter` at start-up"
            );
            Limiter::new(MemoryBackend::new())
        })),
    }
}

/// Runs `future` with `limiter` in the place of the global one.
pub(crate) async fn scope<F: Future>(limiter: Limiter, future: F) -> F::Output {
    SCOPED.scope(limiter, future).await
}

/// The scoped limiter if there is one, else the global one.
pub(crate) fn current_limiter() -> Limiter {
    with_current_limiter(Limiter::clone)
}

/// Asks that one. The global one stays where it is: all cores would write a count of its users.
pub(crate) fn with_current_limiter<T>(ask: impl FnOnce(&Limiter) -> T) -> T {
    match SCOPED.try_with(Limiter::clone) {
        Ok(limiter) => ask(&limiter),
        Err(_) => with_global(ask),
    }
}
