//! The lock files of the packages outside the workspace know what the library needs. Their scripts build
//! with `--locked`, and CI does not build them.

use std::fs;
use std::path::Path;

use support::ROOT;

const FILES: [&str; 4] =
    ["runtime/benches/peers", "tests/browser", "tests/migration", "tests/other_attributes"];

/// Returns the names of the dependencies that the library always has.
fn needed() -> Vec<String> {
    let manifest = fs::read_to_string(Path::new(ROOT).join("runtime/Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let (dependencies, _) = rest.split_once("\n[").unwrap();
    let lines = dependencies.lines().filter(|line| !line.contains("optional = true"));
    let names = lines.filter_map(|line| line.split(['.', ' ']).next().filter(|it| !it.is_empty()));
    names.map(ToOwned::to_owned).collect()
}

#[test]
fn have_all_that_the_library_needs() {
    let needed = needed();
    assert!(needed.len() > 10, "{needed:?}");
    for folder in FILES {
        let lock = fs::read_to_string(Path::new(ROOT).join(folder).join("Cargo.lock")).unwrap();
        let (_, rest) = lock.split_once("name = \"tollgate\"\n").unwrap();
        let (package, _) = rest.split_once("\n]").unwrap();
        for name in &needed {
            // A name that several versions have is followed by one.
            let is_known = [format!("\"{name}\""), format!("\"{name} ")];
            let is_known = is_known.iter().any(|text| package.contains(text));
            assert!(is_known, "{folder}/Cargo.lock lacks {name}: run `cargo metadata` there");
        }
    }
}
