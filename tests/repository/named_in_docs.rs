//! The files and tests that the pages name in their text are there.

use std::fs;
use std::path::{Path, PathBuf};

use support::ROOT;

const PLACES: [&str; 6] = ["runtime/", "macros/", "cli/", "tests/", "examples/", "ui-tests/"];

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
}

/// What stands in backticks, outside of blocks of code.
fn code(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The place that is named, if it is one.
fn place(code: &str) -> Option<PathBuf> {
    PLACES.iter().any(|place| code.starts_with(place)).then(|| Path::new(ROOT).join(code))
}

#[test]
fn places_in_the_source() {
    for (page, least) in [("ARCHITECTURE.md", 60), ("CONTRIBUTING.md", 2)] {
        let places: Vec<_> = code(&read(page)).iter().filter_map(|code| place(code)).collect();
        assert!(places.len() >= least, "{page} names only {places:?}");
        for place in places {
            assert!(place.exists(), "{page} names {}", place.display());
        }
    }
}

/// What the security page promises is shown by the tests that it names: in each cell of its last
/// column a file, and after that tests in it.
#[test]
fn tests_that_show_what_holds() {
    let page = read("runtime/src/docs/guide/security.md");
    let (mut files, mut tests) = (0, 0);
    for cell in page.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit(" | ").next()) {
        let mut source = None;
        for name in code(cell) {
            if let Some(file) = place(&name) {
                let text = fs::read_to_string(&file);
                source = Some(text.unwrap_or_else(|error| panic!("{name}: {error}")));
                files += 1;
            } else {
                let source = source.as_ref().unwrap_or_else(|| panic!("{name} is in no file"));
                let test = format!("fn {name}(");
                assert!(source.contains(&test), "no such test: {name}, of {cell}");
                tests += 1;
            }
        }
    }
    assert!(files > 10 && tests > 5, "only {files} files and {tests} tests are named");
}
