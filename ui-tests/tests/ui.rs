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

/// The errors, each with all that is said of it. In whatever order: the compiler looks at the types
/// of the arguments once more, before their patterns.
fn said(stderr: &str) -> Vec<&str> {
    let mut errors: Vec<&str> = stderr.trim_end().split("\n\n").collect();
    errors.sort_unstable();
    errors
}
