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
    match &*GLOBAL.load() {
        Some(limiter) => Limiter::clone(limiter),
        None => FALLBACK
            .get_or_init(|| {
                tracing::warn!(
                    "no limiter was set: limits are counted in this process's memory. Call \
                     `tollgate::set_limiter` at start-up"
                );
                Limiter::new(MemoryBackend::new())
            })
            .clone(),
    }
}

/// Runs `future` with `limiter` in the place of the global one.
pub(crate) async fn scope<F: Future>(limiter: Limiter, future: F) -> F::Output {
    SCOPED.scope(limiter, future).await
}

/// The scoped limiter if there is one, else the global one.
pub(crate) fn current_limiter() -> Limiter {
    SCOPED.try_with(Limiter::clone).unwrap_or_else(|_| get_limiter())
}
