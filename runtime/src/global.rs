//! The limiter that annotated functions use.

#[cfg(feature = "axum")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use tokio::task::futures::TaskLocalFuture;

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

/// Returns the limiter that annotated functions use here: within a request that has passed
/// [`Limiter::layer`], or within [`Limiter::scope`], the limiter of the innermost of these; else the
/// one that [`set_limiter`] has set last. If none was set, returns a limiter that counts in this
/// process's memory, and logs a warning the first time.
#[must_use]
pub fn get_limiter() -> Limiter {
    current_limiter()
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

impl Limiter {
    /// Returns a future that runs `future` with this limiter in place of the global one: annotated
    /// functions, handlers and layers that it awaits use this limiter, and [`get_limiter`] returns
    /// it.
    ///
    /// A task that is spawned does not belong to the scope in which it is spawned. So take the
    /// limiter along:
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use tollgate::get_limiter;
    ///
    /// let limiter = get_limiter();
    /// tokio::spawn(async move { limiter.scope(async { /* call annotated functions */ }).await });
    /// # });
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        scope(self.clone(), future)
    }
}

/// A future that runs in the scope of a limiter.
pub(crate) type Scoped<F> = TaskLocalFuture<Limiter, F>;

/// Returns a future that runs `future` with `limiter` in place of the global one.
pub(crate) fn scope<F: Future>(limiter: Limiter, future: F) -> Scoped<F> {
    SCOPED.scope(limiter, future)
}

/// Calls `function` with `limiter` in place of the global one.
#[cfg(feature = "axum")]
pub(crate) fn scope_now<T>(limiter: &Limiter, function: impl FnOnce() -> T) -> T {
    SCOPED.sync_scope(limiter.clone(), function)
}

/// Returns the limiter of the innermost scope if there is one, or else the global limiter.
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
