//! The examples do what they say. Each is run as the program that it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

mod ended;
mod example;
mod served;

use std::path::Path;

/// A new example comes with a test here, and with a line in the index.
#[test]
fn every_example_is_in_the_index_and_run_by_a_test() {
    let root = Path::new(support::ROOT);
    let index = std::fs::read_to_string(root.join("examples/README.md")).unwrap();
    let tests = [include_str!("ended.rs"), include_str!("served.rs")].concat();
    for entry in std::fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if !path.join("src/main.rs").exists() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(index.contains(&format!("[`{name}`]")), "examples/README.md does not list {name}");
        let is_run = tests.contains(&format!("(\"{name}\")"));
        assert!(is_run, "no test runs the example {name}");
    }
}
