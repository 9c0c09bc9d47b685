//! Tests that need a process of their own.

use std::process::Command;

const ALONE: &str = "TOLLGATE_TEST_ALONE";

/// Runs the test of this name, of the program that calls this, once more in a process of its own,
/// and returns `true` when that has passed. Returns `false` in that process.
///
/// `module` is the test's `module_path!()`.
#[must_use]
pub fn is_left_to_a_process_of_its_own(module: &str, test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let (_, module) = module.split_once("::").unwrap();
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args([&format!("{module}::{test}"), "--exact", "--nocapture"]).env(ALONE, "1");
    let output = alone.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    print!("{printed}");
    assert!(output.status.success(), "{printed}{errors}");
    assert!(printed.contains(" 1 passed;"), "there is no test {module}::{test}: {printed}");
    true
}
