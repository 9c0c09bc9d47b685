//! The limiter that annotated functions use.

#[cfg(feature = "axum")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use crate::{Limiter, MemoryBackend};

static GLOBAL: ArcSwapOption<Limiter> = ArcSwapOption::const_empty();

/// The limiter in memory that is used until [`set_limiter`] is called.
static FALLBACK: OnceLock<Limiter> = OnceLock::new();

/// `true` if the program has created a [`Limiter::layer`].
#[cfg(feature = "axum")]
static HAS_LAYER: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    static SCOPED: Limiter;
}

/// Sets the limiter that annotated functions use. A second call replaces the limiter; requests that
/// have begun continue to use the previous one.
pub fn set_limiter(limiter: Limiter) {
    GLOBAL.store(Some(Arc::new(limiter)));
}

/// Returns the limiter that [`set_limiter`] has set last. If none was set, returns a limiter that
/// counts in this process's memory, and logs a warning the first time.
#[must_use]
pub fn get_limiter() -> Limiter {
    with_global(Limiter::clone)
}

fn with_global<T>(ask: impl FnOnce(&Limiter) -> T) -> T {
    match &*GLOBAL.load() {
        Some(limiter) => ask(limiter),
        None => ask(FALLBACK.get_or_init(|| {
            let advice = if has_layer() { LAYER_ADVICE } else { "" };
            tracing::warn!(
                "no limiter was set: limits are counted in this process's memory. Call \
                 `tollgate::set_limiter` at start-up{advice}"
            );
            Limiter::new(MemoryBackend::new())
        })),
    }
}

/// The addition to the warning that no limiter was set, for a program with a layer that sets one.
const LAYER_ADVICE: &str = ", or add `limiter.layer()` to the router after its routes: it does not \
                            reach routes that are added after it, nor functions that are called \
                            outside of requests";

/// Records that a [`Limiter::layer`] was created.
#[cfg(feature = "axum")]
pub(crate) fn note_layer() {
    HAS_LAYER.store(true, Ordering::Relaxed);
}

fn has_layer() -> bool {
    #[cfg(feature = "axum")]
    return HAS_LAYER.load(Ordering::Relaxed);
    #[cfg(not(feature = "axum"))]
    false
}

/// Runs `future` with `limiter` in place of the global one.
pub(crate) async fn scope<F: Future>(limiter: Limiter, future: F) -> F::Output {
    SCOPED.scope(limiter, future).await
}

/// Returns the limiter of the surrounding [`scope`] if there is one, or else the global limiter.
pub(crate) fn current_limiter() -> Limiter {
    with_current_limiter(Limiter::clone)
}

/// Calls `ask` with the limiter that [`current_limiter`] returns. The global limiter is not cloned
/// for this, because then all cores would write to its reference count.
pub(crate) fn with_current_limiter<T>(ask: impl FnOnce(&Limiter) -> T) -> T {
    match SCOPED.try_with(Limiter::clone) {
        Ok(limiter) => ask(&limiter),
        Err(_) => with_global(ask),
    }
}
