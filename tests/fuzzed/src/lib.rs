//! Functions of arbitrary bytes, which panic if what reads such bytes panics or is wrong.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a target that panics has found something")]

mod config;
mod durations;
mod forwarded;
mod script_reply;
mod url;

pub use self::config::config;
pub use self::durations::durations;
pub use self::forwarded::forwarded;
pub use self::script_reply::{decisions, script_reply};
pub use self::url::url;

/// A function of bytes.
pub type Target = fn(&[u8]);

/// All of them, by the names that they have in `fuzz/`.
pub const TARGETS: [(&str, Target); 5] = [
    ("config", config),
    ("durations", durations),
    ("forwarded", forwarded),
    ("script_reply", script_reply),
    ("url", url),
];

/// A file of this thread with such a text, which configuration is read from.
fn file(extension: &str, text: &[u8]) -> std::path::PathBuf {
    let thread = std::thread::current().id();
    let name = format!("tollgate-fuzzed-{}-{thread:?}.{extension}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A runtime of its own for each input, so that none leaves anything to the next.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
