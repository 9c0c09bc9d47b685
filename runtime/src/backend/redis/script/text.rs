//! The text of the script, put together from its pieces.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The script as it is sent: one text, without comments and unnecessary spaces, and with the values
/// of its constants in the places of their names. A server stores the
/// text in memory, and it is sent again whenever the server has lost it. So it contains nothing
/// that only readers need.
pub(super) static TEXT: LazyLock<String> = LazyLock::new(assembled);

/// The file that includes the others.
const MAIN: &str = include_str!("main.lua");

/// The files that are included, each with its name after `include`.
const PIECES: [(&str, &str); 21] = [
    ("plan.lua", include_str!("plan.lua")),
    ("counter.lua", include_str!("counter.lua")),
    ("bucket.lua", include_str!("bucket.lua")),
    ("compact.lua", include_str!("compact.lua")),
    ("log.lua", include_str!("log.lua")),
    ("slow.lua", include_str!("slow.lua")),
    ("compact_check.lua", include_str!("compact_check.lua")),
    ("fast_plan.lua", include_str!("fast_plan.lua")),
    ("fast_bucket.lua", include_str!("fast_bucket.lua")),
    ("fast_steps.lua", include_str!("fast_steps.lua")),
    ("fast_wide.lua", include_str!("fast_wide.lua")),
    ("fast_ring.lua", include_str!("fast_ring.lua")),
    ("ban.lua", include_str!("ban.lua")),
    ("calendar.lua", include_str!("calendar.lua")),
    ("debt.lua", include_str!("debt.lua")),
    ("dispatch.lua", include_str!("dispatch.lua")),
    ("codec.lua", include_str!("codec.lua")),
    ("translation.lua", include_str!("translation.lua")),
    ("check.lua", include_str!("check.lua")),
    ("permits.lua", include_str!("permits.lua")),
    ("failure.lua", include_str!("failure.lua")),
];

/// The most frequent names, and their short forms in the text that is sent.
const SHORT_NAMES: [(&str, &str); 47] = [
    ("part", "p"),
    ("family", "f"),
    ("quota", "q"),
    ("state", "s"),
    ("count", "n"),
    ("period", "d"),
    ("charged_at", "h"),
    ("fraction", "r"),
    ("first_units", "fu"),
    ("last_units", "lu"),
    ("first_time", "ft"),
    ("last_time", "lt"),
    ("plan", "l"),
    ("width", "w"),
    ("units", "u"),
    ("used", "v"),
    ("cost", "o"),
    ("require_that", "y"),
    ("failure", "e"),
    ("reply", "ry"),
    ("limit", "m"),
    ("entries", "en"),
    ("is_admitted", "ia"),
    ("encode_entry", "ee"),
    ("header", "hd"),
    ("capacity", "cp"),
    ("stored", "sd"),
    ("unreadable", "ur"),
    ("text", "x"),
    ("granule", "g"),
    ("cost_span", "cs"),
    ("cost_fraction", "cf"),
    ("full_span", "fs"),
    ("full_fraction", "ff"),
    ("entry", "et"),
    ("has_steps", "hs"),
    ("require_number", "rn"),
    ("changed_at", "ca"),
    ("window", "wd"),
    ("calendar", "cr"),
    ("today", "ty"),
    ("windows", "ws"),
    ("set_window", "sw"),
    ("window_of", "wo"),
    ("counted_until", "cu"),
    ("forgotten_at", "fg"),
    ("opening", "og"),
];

fn assembled() -> String {
    let names: HashMap<_, _> = SHORT_NAMES.into_iter().chain(constants()).collect();
    let mut text = String::new();
    for line in code(MAIN) {
        if constant(line).is_none() {
            push_without_spaces(&mut text, &with_words_replaced(line, &names));
            text.push('\n');
        }
    }
    text
}

/// Returns the lines of code of a file and of those that it includes, in their order.
fn code(file: &'static str) -> Vec<&'static str> {
    let lines = file.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("--"));
    lines.flat_map(|line| included(line).map_or_else(|| vec![line], code)).collect()
}

/// Returns the content of the file that an `include` line names; `None` for any other line.
fn included(line: &str) -> Option<&'static str> {
    let name = line.strip_prefix("include '")?.strip_suffix('\'')?;
    PIECES.iter().find(|(piece, _)| *piece == name).map(|(_, text)| *text)
}

/// Returns the name and the value that a `constant` line declares; `None` for any other line.
fn constant(line: &'static str) -> Option<(&'static str, &'static str)> {
    line.strip_prefix("constant ")?.split_once(" = ")
}

/// Returns the names and values of all constants.
fn constants() -> impl Iterator<Item = (&'static str, &'static str)> {
    MAIN.lines().filter_map(constant)
}

/// Appends a line without the spaces that do not separate two words.
fn push_without_spaces(text: &mut String, line: &str) {
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        let separates = text.ends_with(is_word) && chars.peek().copied().is_some_and(is_word);
        if char != ' ' || separates {
            text.push(char);
        }
    }
}

/// Returns the line with other words in the places of these. Each word is looked up once, because the
/// first check of a process waits for the text.
fn with_words_replaced(line: &str, others: &HashMap<&str, &str>) -> String {
    let mut replaced = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_word) {
        let (before, from_word) = rest.split_at(start);
        let end = from_word.find(|char| !is_word(char)).unwrap_or(from_word.len());
        let (word, after) = from_word.split_at(end);
        replaced.push_str(before);
        replaced.push_str(others.get(word).unwrap_or(&word));
        rest = after;
    }
    replaced + rest
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the script since it knows windows of calendars and permits. It may be lowered, but a script that
    /// grows beyond it should be worth its place on every server.
    const MAX_BYTES: usize = 50_800;

    /// Returns the lines of code that are sent, as they are written.
    fn source() -> Vec<&'static str> {
        code(MAIN).into_iter().filter(|line| constant(line).is_none()).collect()
    }

    /// Returns the words outside string literals, and the literals.
    fn words_and_literals(line: &str) -> (Vec<&str>, Vec<&str>) {
        let (mut words, mut literals) = (Vec::new(), Vec::new());
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                literals.push(part);
            } else {
                words.extend(part.split(|char| !is_word(char)).filter(|word| !word.is_empty()));
            }
        }
        (words, literals)
    }

    #[test]
    fn every_piece_is_included_once_and_the_text_is_no_larger_than_it_was() {
        assert!(!TEXT.contains("include"), "a file is not known");
        for (name, _) in PIECES {
            let include = format!("include '{name}'");
            let files = PIECES.iter().map(|(_, text)| *text).chain([MAIN]);
            let includes: usize = files.map(|text| text.matches(&include).count()).sum();
            assert_eq!(includes, 1, "{name}");
        }
        assert!(TEXT.len() <= MAX_BYTES, "{} bytes", TEXT.len());
    }

    #[test]
    fn only_spaces_comments_constants_and_some_names_are_changed() {
        let names: Vec<_> = SHORT_NAMES.into_iter().chain(constants()).collect();
        let source = source();
        assert_eq!(source.len(), TEXT.lines().count());
        for (line, sent) in source.into_iter().zip(TEXT.lines()) {
            // A `--` in the sent text would begin a comment. Double quotes and `[[` would begin
            // literals that this test does not know.
            assert!(!sent.contains("--") && !line.contains('"') && !line.contains("[["), "{line}");
            let (words, literals) = words_and_literals(line);
            let (sent_words, sent_literals) = words_and_literals(sent);
            assert_eq!(literals, sent_literals);
            let short = words.iter().map(|word| {
                assert!(SHORT_NAMES.iter().all(|(_, short)| short != word), "taken: {line}");
                names.iter().find(|(name, _)| name == word).map_or(*word, |(_, short)| short)
            });
            assert!(short.eq(sent_words), "{line}");
        }
    }
}
