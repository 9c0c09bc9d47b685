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

/// The anchors that rustdoc and GitHub make of a page's headings. Both write them alike for letters,
/// digits and hyphens.
fn anchors(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let headings = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    headings
        .map(|heading| {
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The file in which an anchor of the documentation is, if the target has one and names a page that is
/// written in a file: `crate::guide::keys#a`, `keys#a`, `crate::OnError#a`.
fn page(document: &Path, target: &str) -> Option<PathBuf> {
    let docs = Path::new(support::ROOT).join("runtime/src/docs");
    let (path, _) = target.split_once('#')?;
    let of_item = |name: &str| match name.trim_start_matches("macro@") {
        "rate_limit" => Some("rate_limit.md"),
        "Config" => Some("configuration.md"),
        "Dashboard" => Some("dashboard.md"),
        "LocalTier" => Some("local_tier.md"),
        "Metrics" => Some("monitoring.md"),
        "OnError" => Some("outages.md"),
        "RedisBackend" => Some("redis.md"),
        "testing" => Some("testing.md"),
        _ => None,
    };
    if path.is_empty() {
        return Some(document.to_owned());
    }
    let last = path.rsplit("::").next()?.trim_start_matches("macro@");
    if path.contains("guide::") || document.ends_with("guide.rs") {
        return Some(docs.join("guide").join(last).with_extension("md"))
            .filter(|page| page.exists())
            .or_else(|| of_item(last).map(|name| docs.join(name)));
    }
    if path.contains("::") || path.contains('@') {
        return of_item(last).map(|name| docs.join(name));
    }
    Some(document.parent()?.join(path)).filter(|page| page.extension().is_some_and(|it| it == "md"))
}

#[test]
fn every_heading_that_is_linked_is_there() {
    let mut found = vec![Path::new(support::ROOT).join("runtime/src/guide.rs")];
    documents(Path::new(support::ROOT), &mut found);
    let mut checked = 0;
    for document in &found {
        for target in targets(&fs::read_to_string(document).unwrap()) {
            if target.contains("://") {
                continue;
            }
            let Some(page) = page(document, &target) else { continue };
            let Some((_, anchor)) = target.split_once('#') else { continue };
            let anchors = anchors(&fs::read_to_string(&page).unwrap());
            let is_there = anchors.iter().any(|it| it == anchor);
            assert!(is_there, "{} links to {target}, of {anchors:?}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links to headings were found");
}

/// A link of the web cannot be asked for without a network. What can be seen is that it is one.
#[test]
fn links_to_the_web_are_complete() {
    let mut found = Vec::new();
    documents(Path::new(support::ROOT), &mut found);
    for document in &found {
        for target in targets(&fs::read_to_string(document).unwrap()) {
            let Some((scheme, rest)) = target.split_once("://") else { continue };
            let host = rest.split('/').next().unwrap();
            let is_complete = scheme == "https" && host.contains('.') && !rest.contains(' ');
            assert!(is_complete, "{} links to {target}", document.display());
        }
    }
}

/// What docs.rs shows are the pages of the package. A link to a file of the repository is dead there.
#[test]
fn the_documentation_links_to_no_file() {
    let docs = Path::new(support::ROOT).join("runtime/src/docs");
    let mut found = Vec::new();
    documents(&docs, &mut found);
    assert!(found.len() > 20);
    for document in &found {
        for target in targets(&fs::read_to_string(document).unwrap()) {
            let is_file = is_file(&target) && target.contains(['/', '.']);
            assert!(!is_file, "{} links to the file {target}", document.display());
        }
    }
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
