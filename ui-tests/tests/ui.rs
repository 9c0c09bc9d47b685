//! What the compiler says about each mistake, and that what is right compiles.
//!
//! `TRYBUILD=overwrite cargo test -p ui-tests` writes the `.stderr` files anew; read the
//! difference before you commit it.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::fs;
use std::path::Path;

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*.rs");
    cases.compile_fail("fail/*.rs");
    cases.compile_fail("pairs/with/*.rs");
    cases.compile_fail("pairs/without/*.rs");
}

/// A mistake in the user's own code is reported in the same words at the same place whether the
/// attribute is there or not.
#[test]
fn the_attribute_does_not_change_what_the_compiler_says() {
    let mut pairs = 0;
    for entry in fs::read_dir("pairs/with").unwrap() {
        let with = entry.unwrap().path();
        let without = Path::new("pairs/without").join(with.file_name().unwrap());
        let [with_text, without_text] =
            [&with, &without].map(|file| fs::read_to_string(file).unwrap());
        if with.extension().unwrap() == "rs" {
            let attributes: Vec<_> = with_text
                .lines()
                .zip(without_text.lines())
                .filter(|(with, without)| with != without)
                .collect();
            assert!(
                matches!(attributes[..], [(with, without)] if with.starts_with("#[rate_limit(")
                    && without == "// Without the attribute."),
                "{with:?} and {without:?} differ in more than the attribute"
            );
        } else {
            pairs += 1;
            let with_text = with_text.replace("pairs/with/", "pairs/without/");
            assert_eq!(said(&with_text), said(&without_text), "{with:?}");
        }
    }
    assert!(pairs >= 10, "only {pairs} pairs");
}

/// The errors and where they are: each error's first line, its place, and the lines with carets
/// and what is said there. In whatever order: the compiler tells of a mistake in an argument's
/// type before those in the patterns if the patterns are in the body.
fn said(stderr: &str) -> Vec<Vec<&str>> {
    let mut said: Vec<Vec<&str>> = Vec::new();
    let mut in_error = false;
    for line in stderr.lines() {
        if line.starts_with("error") {
            in_error = true;
            said.push(vec![line]);
        } else if line.starts_with("note") || line.starts_with("help") {
            in_error = false;
        } else if let (true, Some(error)) = (in_error, said.last_mut())
            && (line.trim_start().starts_with("-->") || line.contains('^'))
        {
            error.push(line);
        }
    }
    said.sort();
    said
}
