//! Files of configuration: what they say is applied or refused with a reason.

use std::time::Duration;

use tollgate::{Config, Policy, Quota};

const DECLARED: Policy = Policy::new("p", Quota::new(10, Duration::from_secs(60)));

/// Reads a file with this text. The first byte chooses the format.
pub fn config(data: &[u8]) {
    let [first, text @ ..] = data else { return };
    let extension = ["toml", "json", "yaml"][usize::from(*first) % 3];
    let path = crate::file(extension, text);
    match Config::load_with(&path, []) {
        Ok(config) => {
            let config = config.declare(DECLARED);
            // A URL of Redis may be in it, whose connections belong to a runtime.
            crate::run(async {
                if let Err(error) = config.builder() {
                    assert!(!error.to_string().is_empty());
                }
            });
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = std::fs::remove_file(path);
}
