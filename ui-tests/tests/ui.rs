//! What the compiler says about each mistake, and that what is right compiles.
//!
//! `TRYBUILD=overwrite cargo test -p ui-tests` writes the `.stderr` files anew; read the
//! difference before you commit it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Without programs that pass, a mistake is only checked and never built, and all of them by one
/// command.
#[test]
fn mistakes() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("fail/*.rs");
    cases.compile_fail("pairs/with/*.rs");
    cases.compile_fail("pairs/without/*.rs");
}

/// That they compile without a warning is seen when the examples are built: each denies warnings.
#[test]
fn right_uses_run() {
    let test = std::env::current_exe().unwrap();
    let examples = test.parent().and_then(Path::parent).unwrap().join("examples");
    let mut programs = 0;
    for entry in fs::read_dir("pass").unwrap() {
        let path = entry.unwrap().path();
        let name = format!("pass-{}", path.file_stem().unwrap().display());
        let program = examples.join(&name);
        let ended = Command::new(&program).status().unwrap_or_else(|error| {
            panic!("{}: {error}: is it an example in Cargo.toml?", program.display())
        });
        assert!(ended.success(), "{name}: {ended}");
        programs += 1;
    }
    assert!(programs >= 12, "only {programs} programs");
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
