//! Suggests a known word for a misspelt one.

use std::fmt::Write as _;

/// Returns the member of `known` that is most similar to `word`; `None` if none is similar enough.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate| strsim::damerau_levenshtein(word, candidate);
    let (distance, candidate) =
        known.into_iter().map(|candidate| (distance(candidate), candidate)).min()?;
    (distance <= (candidate.chars().count() / 3).max(1)).then_some(candidate)
}

/// Returns "did you mean …?" with the most similar known word. If none is similar, returns the list
/// of `known`, or `nothing` if that list is empty.
pub(crate) fn hint<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    nothing: &str,
) -> String {
    if let Some(nearest) = nearest(word, known.clone()) {
        return format!("did you mean `{nearest}`?");
    }
    let mut hint = String::new();
    for candidate in known {
        let separator = if hint.is_empty() { "there is " } else { ", " };
        let _ = write!(hint, "{separator}`{candidate}`");
    }
    if hint.is_empty() { nothing.to_owned() } else { hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised_and_others_are_listed() {
        let known = ["limit", "per", "burst"];
        assert_eq!(hint("limti", known, ""), "did you mean `limit`?");
        assert_eq!(hint("colour", known, ""), "there is `limit`, `per`, `burst`");
        assert_eq!(hint("colour", [], "there is none"), "there is none");
    }

    #[test]
    fn as_the_attribute_does() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/read_alike.txt");
        let table = std::fs::read_to_string(table).unwrap();
        let known = table.lines().find_map(|line| line.strip_prefix("known ")).unwrap();
        let mut lines = 0;
        for line in table.lines().filter_map(|line| line.strip_prefix("word ")) {
            let (word, meant) = line.split_once(' ').unwrap();
            let nearest = nearest(word, known.split(' ')).unwrap_or("-");
            assert_eq!(nearest, meant, "`{word}`");
            lines += 1;
        }
        assert!(lines > 8, "{lines}");
    }
}
