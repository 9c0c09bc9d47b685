//! The runtime that drives all connections to Redis. It belongs to no caller, so a program may use
//! its limiter from runtimes that come and go, such as those of tests or of workers.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::failure::RequestError;

/// The name of the thread.
const THREAD: &str = "tollgate-redis";

/// The runtime with its thread. All backends of the process share one. The first that connects
/// starts it, and it ends when the last one is dropped and has no call in progress.
pub(super) struct Driver {
    handle: Handle,
    /// Dropped to end the thread.
    _end: oneshot::Sender<()>,
}

static RUNNING: Mutex<Weak<Driver>> = Mutex::new(Weak::new());

impl Driver {
    /// Returns the driver of the process. Starts it if it does not run.
    fn shared() -> io::Result<Arc<Self>> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = running.upgrade() {
            return Ok(driver);
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let driver = Arc::new(Self { handle: runtime.handle().clone(), _end: end });
        thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            // An error means that the other half was dropped, which is the sign to end.
            let _: Result<(), _> = runtime.block_on(ended);
            // A look-up of a name that hangs is not waited for.
            runtime.shutdown_background();
        })?;
        *running = Arc::downgrade(&driver);
        Ok(driver)
    }

    /// Starts a task.
    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }
}

/// The driver of those who need it only from their first use on, and keep it as long as they live.
#[derive(Default)]
pub(super) struct LazyDriver(OnceLock<Arc<Driver>>);

impl LazyDriver {
    /// Returns the driver. Starts it if it does not run.
    pub(super) fn get(&self) -> Result<&Driver, RequestError> {
        if let Some(driver) = self.0.get() {
            return Ok(driver);
        }
        let driver = Driver::shared().map_err(|error| {
            RequestError::Unconnected(format!("there is no thread for connections: {error}"))
        })?;
        Ok(self.0.get_or_init(|| driver))
    }
}
