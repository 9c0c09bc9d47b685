//! What the documents in the repository link to is there.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Markdown file, but for what is built.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            documents(&path, found);
        } else if name.ends_with(".md") {
            // A package's README is the repository's.
            found.push(path.canonicalize().unwrap());
        }
    }
}

/// The targets of `[text](target)` and `[text]: target` outside of code.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for (index, prose) in text.split("```").enumerate() {
        if index % 2 == 1 {
            continue;
        }
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.extend(links.map(|(target, _)| target.to_owned()));
        let definitions =
            prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
        targets.extend(definitions.map(|(_, target)| target.to_owned()));
    }
    targets
}

/// Rustdoc resolves links to items, and fails on those that are not there; the web is not asked.
fn is_file(target: &str) -> bool {
    !target.contains("::") && !target.contains(":/") && !target.starts_with('#')
}

#[test]
fn every_file_that_is_linked_is_there() {
    let mut found = Vec::new();
    documents(Path::new(support::ROOT), &mut found);
    let mut checked = 0;
    for document in &found {
        let items = document.components().any(|part| part.as_os_str() == "docs");
        for target in targets(&fs::read_to_string(document).unwrap()) {
            let file = target.split('#').next().unwrap();
            // In rustdoc's pages a bare word is an item.
            if !is_file(&target) || (items && !file.contains(['/', '.'])) {
                continue;
            }
            let linked = document.parent().unwrap().join(file);
            assert!(linked.exists(), "{} links to {target}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}
