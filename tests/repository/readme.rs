//! README and the documentation's front page are short, and say what the manifests and the guide say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use support::ROOT;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The value of a key at the beginning of a line.
fn value(manifest: &str, key: &str) -> String {
    let start = format!("{key} = \"");
    let line = manifest.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
    line.trim_end_matches('"').to_owned()
}

/// The words in backticks that begin the rows of the table below `heading`.
fn first_cells(page: &str, heading: &str) -> BTreeSet<String> {
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

#[test]
fn is_read_in_minutes() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 160, "README.md has {lines} lines: what is further belongs in the guide");
}

#[test]
fn features_are_those_of_the_manifest() {
    let manifest = read("runtime/Cargo.toml");
    let (_, features) = manifest.split_once("\n[features]\n").unwrap();
    let features = features.split("\n[").next().unwrap().lines();
    let names = features.filter_map(|line| line.split_once(" = [")).map(|(name, _)| name);
    let names: BTreeSet<String> =
        names.filter(|&name| name != "default").map(str::to_owned).collect();
    assert!(names.len() > 3, "{names:?}");
    assert_eq!(first_cells(&read("README.md"), "## Features"), names);
    assert_eq!(first_cells(&read("runtime/src/docs/front.md"), "# Features"), names);
}

#[test]
fn the_least_rust_is_the_manifest_s() {
    let least = value(&read("Cargo.toml"), "rust-version");
    assert!(read("README.md").contains(&format!("Rust {least} or later")));
    assert!(read("CONTRIBUTING.md").contains(&format!("Rust {least}")));
    assert!(read(".github/workflows/ci.yml").contains(&format!("toolchain: [\"{least}\"]")));
    assert!(!read("clippy.toml").contains("msrv"), "clippy reads it from the manifest");
}

#[test]
fn the_program_of_the_front_page_is_the_readme_s() {
    let program = |page: &str| {
        let blocks: Vec<String> =
            read(page).split("```").skip(1).step_by(2).map(str::to_owned).collect();
        let program = blocks.iter().find(|block| block.contains("fn main()")).unwrap();
        program.split_once('\n').unwrap().1.to_owned()
    };
    let of_readme = program("README.md");
    assert_eq!(of_readme, program("runtime/src/docs/front.md"));
    let lines = of_readme.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(lines <= 16, "{lines} lines");
}

/// Every page can be found by what somebody wants to do, on docs.rs and in the repository.
#[test]
fn the_index_of_the_guide_has_all_pages() {
    let guide = read("runtime/src/guide.rs");
    let (index, modules) = guide.split_once("\n\n#[doc").unwrap();
    let mut pages = BTreeSet::new();
    for entry in fs::read_dir(Path::new(ROOT).join("runtime/src/docs/guide")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(page) = name.strip_suffix(".md") {
            pages.insert(page.to_owned());
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    for page in pages {
        assert!(modules.contains(&format!("pub mod {page} {{}}")), "{page} is no module");
        let file = format!("](runtime/src/docs/guide/{page}.md)");
        assert!(read("README.md").contains(&file), "README.md does not link to {page}");
        let links = [format!("]({page})"), format!("]({page}#"), format!("[{page}]")];
        let linked = links.iter().any(|link| index.contains(link));
        assert!(linked, "the index of the guide does not link to {page}");
    }
}
