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

/// The texts of a page that name tests: the last cells of its tables, and what follows "Shown by".
fn texts_that_show(page: &str) -> Vec<String> {
    let cells = page.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit(" | ").next());
    let sentences = page.split("Shown by ").skip(1).map(|rest| {
        let paragraph = rest.split("\n\n").next().unwrap();
        paragraph.split(".)").next().unwrap()
    });
    cells.chain(sentences).map(|text| text.replace('\n', " ")).collect()
}

/// A test by its attribute, or one that a macro runs for each algorithm.
fn is_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else { return false };
    let lines = before.trim_end_matches("async ").trim_end().lines().rev();
    let mut attributes = lines.map(str::trim).take_while(|line| line.starts_with("#["));
    let is_marked = attributes.any(|attribute| attribute.contains("test"));
    is_marked || source.contains(&format!("for_all_six!({name});"))
}

/// What the security page promises is shown by the tests that it names: files, and after each of
/// them tests in it.
#[test]
fn tests_that_show_what_holds() {
    let page = read("runtime/src/docs/guide/security.md");
    let claims =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack"));
    let (mut files, mut tests) = (0, 0);
    for text in texts_that_show(&page) {
        let mut source: Option<(String, String, usize)> = None;
        let mut end = |source: Option<(String, String, usize)>| {
            if let Some((file, _, named)) = source {
                assert!(named > 0, "no test of {file} is named: {text}");
                (files, tests) = (files + 1, tests + named);
            }
        };
        for name in code(&text) {
            if let Some(file) = place(&name) {
                let code = fs::read_to_string(&file);
                let code = code.unwrap_or_else(|error| panic!("{name}: {error}"));
                end(source.replace((name, code, 0)));
            } else if let Some((file, code, named)) = &mut source {
                assert!(is_test(code, &name), "no test of {file}: {name}");
                *named += 1;
            } else {
                panic!("{name} is in no file: {text}");
            }
        }
        end(source);
    }
    let claims = claims.count();
    assert!(claims > 25 && files > claims && tests > claims, "{claims}: {files}, {tests}");
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack"))
    {
        assert!(line.rsplit(" | ").next().unwrap().starts_with('`'), "nothing shows this: {line}");
    }
}
