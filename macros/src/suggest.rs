//! Suggests a known word for a misspelt one.

use proc_macro2::Ident;

/// Returns the member of `known` that is most similar to `word`; `None` if none is similar enough.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances =
        known.iter().map(|&candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    let (distance, candidate) = distances.min()?;
    (distance <= (candidate.len() / 3).max(1)).then_some(candidate)
}

/// Returns `true` if a word begins with a capital, and so is the name of a constant. Keywords are
/// in lower case.
pub(crate) fn is_constant(word: &Ident) -> bool {
    word.to_string().chars().next().is_some_and(char::is_uppercase)
}

/// Returns "did you mean …?" with the most similar known word, or `grammar` if none is similar.
pub(crate) fn hint(word: &str, known: &[&str], grammar: &str) -> String {
    match nearest(word, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => grammar.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_configuration_does() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/read_alike.txt");
        let table = std::fs::read_to_string(table).unwrap();
        let known = table.lines().find_map(|line| line.strip_prefix("known ")).unwrap();
        let known: Vec<&str> = known.split(' ').collect();
        let mut lines = 0;
        for line in table.lines().filter_map(|line| line.strip_prefix("word ")) {
            let (word, meant) = line.split_once(' ').unwrap();
            assert_eq!(nearest(word, &known).unwrap_or("-"), meant, "`{word}`");
            lines += 1;
        }
        assert!(lines > 8, "{lines}");
    }
}
