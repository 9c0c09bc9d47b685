//! What the pages point to is there: relative links, and the paths that the two pages about the
//! source name.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The pages in a directory, and with `deep` in those below it.
fn pages(directory: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if deep {
                pages(&path, deep, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The page without its blocks of code.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// Where the links of a page go: `[…](target)`, and `[…]: target` on a line of its own.
fn targets(prose: &str) -> Vec<String> {
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let below = prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    let below = below.map(|(_, target)| target.trim());
    inline.chain(below).map(str::to_owned).collect()
}

/// Whether it is a path: neither an address, nor a heading, nor, in the pages that rustdoc
/// includes, the name of an item.
fn is_path(target: &str, rustdoc: bool) -> bool {
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    let item = rustdoc && !target.contains(['/', '.']);
    !elsewhere && !target.starts_with('#') && !target.contains("::") && !item
}

#[test]
fn relative_links_lead_to_files() {
    let docs = Path::new(ROOT).join("runtime/src/docs");
    let mut all = Vec::new();
    pages(Path::new(ROOT), false, &mut all);
    pages(&Path::new(ROOT).join("examples"), true, &mut all);
    pages(&docs, true, &mut all);

    let (mut followed, mut broken) = (0, Vec::new());
    for page in all {
        let text = prose(&fs::read_to_string(&page).unwrap());
        for target in targets(&text) {
            if !is_path(&target, page.starts_with(&docs)) {
                continue;
            }
            let path = target.split('#').next().unwrap();
            followed += 1;
            if !page.with_file_name(path).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 30, "only {followed} links were found");
}

#[test]
fn paths_in_the_pages_about_the_source_exist() {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = prose(&fs::read_to_string(Path::new(ROOT).join(page)).unwrap());
        let spans = text.split('`').skip(1).step_by(2);
        let places = ["runtime/", "macros/", "tests/", "examples/", "ui-tests/"];
        let paths: Vec<_> =
            spans.filter(|span| places.iter().any(|place| span.starts_with(place))).collect();
        assert!(paths.len() > 5, "{page}: {paths:?}");
        for path in paths {
            assert!(Path::new(ROOT).join(path).exists(), "{page} names {path}");
        }
    }
}
