//! "Did you mean …?"

use proc_macro2::Ident;

/// Which of `known` is written most like `word`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|&candidate| (distance(word, candidate), candidate));
    let (distance, candidate) = distances.min()?;
    (distance <= (candidate.len() / 3).max(1)).then_some(candidate)
}

/// Whether a bare word is the name of a constant: keywords are in lower case.
pub(crate) fn is_constant(word: &Ident) -> bool {
    word.to_string().chars().next().is_some_and(char::is_uppercase)
}

/// "did you mean …?" or what there is.
pub(crate) fn hint(word: &str, known: &[&str], grammar: &str) -> String {
    match nearest(word, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => grammar.to_owned(),
    }
}

/// How many letters must be inserted, deleted, replaced or swapped with their neighbour to
/// make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let shifted = 1 + rows[i - 1][j].min(rows[i][j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if swapped { 1 + rows[i - 2][j - 2] } else { usize::MAX };
                replaced.min(shifted).min(swapped)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised_and_others_are_not() {
        let known = ["per", "key", "name", "skip_on_error"];
        assert_eq!(nearest("pre", &known), Some("per"));
        assert_eq!(nearest("keys", &known), Some("key"));
        assert_eq!(nearest("skip_on_eror", &known), Some("skip_on_error"));
        assert_eq!(nearest("skip_error", &known), Some("skip_on_error"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
