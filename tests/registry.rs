//! The linker collects every annotation, also from modules that nothing refers to.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::process::Command;

use strict_2021 as _;
use strict_2024 as _;
use tollgate::{Algorithm, Limiter};

/// What each of the two libraries declares.
const NAMES: [&str; 7] =
    ["Api::number", "call", "call_now", "generic", "list", "show", "show+global"];

fn expected() -> Vec<String> {
    let libraries = ["strict_2021", "strict_2024"].into_iter();
    libraries
        .flat_map(|library| NAMES.map(|name| format!("{library}::unreferenced::{name}")))
        .collect()
}

#[test]
fn it_is_complete_in_a_test() {
    let mut names: Vec<_> = Limiter::policies().map(|policy| policy.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, expected());
}

#[test]
fn it_is_complete_in_a_release_with_link_time_optimisation() {
    let run = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--package", "registry-app"])
        .args(["--example", "policies"])
        .args(["--config", "profile.release.lto = 'fat'"])
        .args(["--config", "profile.release.codegen-units = 1"])
        .args(["--target-dir", concat!(env!("CARGO_TARGET_TMPDIR"), "/registry")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let output = String::from_utf8(run.stdout).unwrap();
    let mut names: Vec<_> = output.lines().collect();
    names.sort_unstable();
    assert_eq!(names, expected());
}

#[test]
fn it_says_what_and_where() {
    let name = "strict_2024::unreferenced::show+global";
    let policy = Limiter::policies().find(|policy| policy.name() == name).unwrap();
    assert_eq!(policy.algorithm(), Algorithm::SlidingWindow);
    assert_eq!(policy.quotas()[0].limit(), 100);
    assert_eq!(policy.file(), "tests/users/strict-2024/src/unreferenced.rs");
    assert!(policy.line() > 1);
}
