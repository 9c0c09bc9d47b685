//! What is logged, as text.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Clones share what is written.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Of this thread, until the guard is dropped.
    pub fn of_this_thread(level: Level) -> (Self, DefaultGuard) {
        /// With one subscriber, `tracing` asks only the thread that meets a log statement first, and
        /// keeps its answer for all threads. With two it asks all subscribers.
        static ANOTHER: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(Log::default().subscriber(Level::ERROR)));

        LazyLock::force(&ANOTHER);
        let log = Self::default();
        let guard = log.subscriber(level).set_default();
        (log, guard)
    }

    /// Of the whole program, which has only one.
    pub fn of_the_program() -> Self {
        Self::of_the_program_at(Level::INFO)
    }

    /// As [`of_the_program`](Self::of_the_program), at this level.
    pub fn of_the_program_at(level: Level) -> Self {
        let log = Self::default();
        log.subscriber(level).init();
        log
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn subscriber(&self, level: Level) -> impl tracing::Subscriber + Send + Sync + use<> {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        subscriber.with_writer(move || log.clone()).finish()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
