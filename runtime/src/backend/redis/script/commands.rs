//! The commands that the script calls. The rights that the documentation lists, and those that
//! `initialize` looks for, are made from this list.

use std::collections::BTreeSet;

use super::text::TEXT;

/// The beginning of a call in the script, up to the name of the command; `try_call` ends with it, too.
const CALL: &str = "call('";

/// Returns the names of the commands that the script calls, in alphabetical order.
pub(in crate::backend::redis) fn commands() -> BTreeSet<&'static str> {
    TEXT.split(CALL).skip(1).filter_map(|rest| rest.split('\'').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rights of the documented user that connections need, apart from the script's commands.
    const CONNECTION: [&str; 5] = ["evalsha", "script|load", "hello", "ping", "unwatch"];

    #[test]
    fn every_call_in_the_script_names_its_command() {
        let alias: Vec<_> = TEXT.lines().filter(|line| line.contains("redis.")).collect();
        let is_alias = |line: &str| line.ends_with("=unpack,redis.call,redis.pcall");
        assert!(
            matches!(alias[..], [line] if line.matches("redis.").count() == 2 && is_alias(line)),
            "the script calls commands by another name than `call` and `try_call`: {alias:?}"
        );
        for line in TEXT.lines().filter(|line| *line != alias[0]) {
            for (at, _) in line.match_indices("call") {
                let (before, rest) = (&line[..at], &line[at..]);
                let before = before.strip_suffix("try_").unwrap_or(before);
                let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
                if before.ends_with(is_part) || rest["call".len()..].starts_with(is_part) {
                    continue;
                }
                let name = rest.strip_prefix(CALL).and_then(|rest| rest.split('\'').next());
                let is_command = |name: &str| name.chars().all(|char| char.is_ascii_uppercase());
                assert!(name.is_some_and(|name| !name.is_empty() && is_command(name)), "{line}");
            }
        }
    }

    #[test]
    fn the_documented_user_has_the_rights_that_the_script_needs_and_no_others() {
        let docs = include_str!("../../../docs/redis.md");
        let (_, rest) = docs.split_once("ACL SETUSER").expect("the page has the user");
        let (line, _) = rest.split_once("```").expect("the block ends");
        let documented: BTreeSet<_> =
            line.split_ascii_whitespace().filter_map(|word| word.strip_prefix('+')).collect();
        let names: Vec<_> = commands().iter().map(|name| name.to_lowercase()).collect();
        let needed: BTreeSet<_> = names.iter().map(String::as_str).chain(CONNECTION).collect();
        assert_eq!(documented, needed, "the left list is the page's, the right one the script's");
    }
}
