//! Configuration files: their errors, and the watcher that follows a file while the program runs.
//!
//! [`Config`](crate::Config) loads a file and the environment, and is the place to start.

mod ban;
pub(crate) mod configuration;
mod error;
mod service_link;
mod settings;
mod source;
mod value;
mod watch;

pub use self::error::ConfigError;
pub use self::watch::ConfigWatcher;
