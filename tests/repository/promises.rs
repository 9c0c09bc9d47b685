//! The table of promises in the guide is that of `tests/mutations.toml`, whose rows name what is there.
//! `tests/mutations.py` shows that each test fails; that takes too long for every change.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::ROOT;

type Row = HashMap<String, String>;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The rows of the file, which uses of TOML only tables, and texts without escapes.
fn rows() -> Vec<Row> {
    let file = read("tests/mutations.toml");
    file.split("[[row]]\n").skip(1).map(row).collect()
}

fn row(mut text: &str) -> Row {
    let mut row = Row::new();
    while let Some((key, rest)) = text.split_once(" = ") {
        let quotes = ["\"\"\"", "\"", "'"].into_iter().find(|quotes| rest.starts_with(quotes));
        let (value, rest) = match quotes {
            Some(quotes) => rest[quotes.len()..].split_once(quotes).unwrap(),
            None => rest.split_once('\n').unwrap(),
        };
        // The line end after the opening quotes is no part of the text.
        let value = value.strip_prefix('\n').unwrap_or(value);
        assert!(!value.contains('\\'), "an escape: {value}");
        row.insert(key.trim().to_owned(), value.to_owned());
        text = rest;
    }
    row
}

#[test]
fn each_replaced_text_stands_in_its_file_once() {
    let rows = rows();
    assert!(rows.len() > 25, "only {} rows", rows.len());
    let mut names: Vec<&String> = rows.iter().map(|row| &row["name"]).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
    for row in &rows {
        let (file, text) = (&row["file"], &row["replace"]);
        assert_eq!(read(file).matches(text.as_str()).count(), 1, "{}: {text}", row["name"]);
        assert_ne!(text, &row["by"], "{}", row["name"]);
    }
}

/// All source files of a program of tests: one file, or a folder.
fn sources(row: &Row) -> Vec<PathBuf> {
    let (program, _) = row["test"].split_once(' ').unwrap();
    let folder = if row.contains_key("package") { "ui-tests/tests" } else { "tests" };
    let place = Path::new(ROOT).join(folder).join(program);
    if place.is_dir() { files(&place) } else { vec![place.with_extension("rs")] }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The function is in the file of its module, so that a test of the same name elsewhere is none.
#[test]
fn each_test_is_in_its_program() {
    const ALGORITHMS: [&str; 6] = [
        "sliding_window",
        "sliding_window_counter",
        "fixed_window",
        "token_bucket",
        "leaky_bucket",
        "gcra",
    ];
    for row in rows() {
        let test = row["test"].split(' ').nth(1).unwrap();
        let mut path: Vec<&str> = test.split("::").collect();
        if ALGORITHMS.contains(path.last().unwrap()) {
            path.pop();
        }
        let name = path.pop().unwrap();
        let is_there = sources(&row).into_iter().any(|file| {
            let is_module = path.last().is_none_or(|module| {
                file.file_stem().unwrap() == *module || file.parent().unwrap().ends_with(module)
            });
            is_module && fs::read_to_string(&file).unwrap().contains(&format!("fn {name}("))
        });
        assert!(is_there, "{}: no test {test}", row["name"]);
    }
}

/// The table has the rows of the file, in their order.
#[test]
fn the_guide_shows_all_rows() {
    let page = read("runtime/src/docs/guide/promises.md");
    let (_, table) = page.split_once("|---|---|---|---|\n").unwrap();
    let shown: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let expected: Vec<String> = rows()
        .iter()
        .map(|row| {
            let [promise, stated, mutation, test] =
                ["promise", "stated", "mutation", "test"].map(|key| row[key].as_str());
            format!("| {promise} | {stated} | `{test}` | {mutation} |")
        })
        .collect();
    assert_eq!(shown, expected, "the table should be:\n{}\n", expected.join("\n"));
}
