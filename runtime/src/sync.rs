//! The locks, atomic numbers and tasks of what runs at the same time.
//!
//! With `--cfg shuttle` they are those of a checker of schedules, which decides at each of them which thread
//! goes on. So the models of `tests/models.sh` run the very types of this crate under many schedules. In any
//! other build there are only other names here for the usual items.

#[cfg(not(shuttle))]
pub(crate) use self::usual::*;
#[cfg(shuttle)]
pub(crate) use self::with_schedules::*;

#[cfg(not(shuttle))]
mod usual {
    pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

    pub(crate) use tokio::sync::Notify;
    #[cfg(feature = "redis")]
    pub(crate) use tokio::time::timeout_at;

    /// A spin lock. A thread that finds it taken yields to other threads, so that the thread with the lock
    /// can go on if it was interrupted.
    pub(crate) type SpinLock<T> = spin::mutex::SpinMutex<T, spin::Yield>;
    pub(crate) type SpinGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T, spin::Yield>;

    /// The runtime of tasks in the background.
    pub(crate) mod runtime {
        pub(crate) use tokio::runtime::Handle;
        pub(crate) use tokio::spawn;
    }
}

#[cfg(shuttle)]
mod with_schedules {
    use std::sync::PoisonError;

    pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};

    pub(crate) type SpinGuard<'a, T> = MutexGuard<'a, T>;

    /// A lock in place of the spin lock: it excludes other threads as that does.
    #[derive(Default)]
    pub(crate) struct SpinLock<T>(Mutex<T>);

    impl<T> SpinLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// The usual one. Each use of it is a step, at which the turn may go to another thread.
    #[derive(Default)]
    pub(crate) struct Notify {
        steps: atomic::AtomicU32,
        notify: tokio::sync::Notify,
    }

    impl Notify {
        fn step(&self) -> &tokio::sync::Notify {
            self.steps.fetch_add(1, atomic::Ordering::SeqCst);
            &self.notify
        }

        pub(crate) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
            self.step().notified()
        }

        pub(crate) fn notify_one(&self) {
            self.step().notify_one();
        }

        #[cfg(feature = "redis")]
        pub(crate) fn notify_waiters(&self) {
            self.step().notify_waiters();
        }
    }

    /// Waits for a future until a deadline, which may pass whenever the checker wants it to.
    #[cfg(feature = "redis")]
    pub(crate) async fn timeout_at<F: Future>(
        _: tokio::time::Instant,
        future: F,
    ) -> Result<F::Output, ()> {
        use shuttle::rand::Rng as _;
        let mut future = std::pin::pin!(future);
        loop {
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(future.as_mut().poll(context))
            });
            if let std::task::Poll::Ready(output) = polled.await {
                return Ok(output);
            }
            if shuttle::rand::thread_rng().gen_bool(0.2) {
                return Err(());
            }
            shuttle::future::yield_now().await;
        }
    }

    /// The checker's own executor, in place of a runtime.
    pub(crate) mod runtime {
        pub(crate) use shuttle::future::spawn;

        #[derive(Clone)]
        pub(crate) struct Handle;

        pub(crate) struct Entered;

        impl Handle {
            pub(crate) fn current() -> Self {
                Self
            }

            pub(crate) fn try_current() -> Result<Self, ()> {
                Ok(Self)
            }

            pub(crate) fn enter(&self) -> Entered {
                Entered
            }

            pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
                drop(spawn(task));
            }
        }
    }
}
