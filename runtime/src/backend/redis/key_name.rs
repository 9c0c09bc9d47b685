//! The names of the keys in Redis, each of a policy and a subject.

use std::borrow::Cow;

use crate::subject::Subject;

/// Returns the key of a subject. The length marks the end of the policy's name, so that no two
/// pairs of policy and subject have the same key. A cluster would take the slot from what stands
/// in braces, and so who chooses the text could put all keys on one node.
pub(super) fn of(prefix: &str, policy: &str, subject: &str) -> Box<[u8]> {
    let (policy, subject) = (without_braces(policy), without_braces(subject));
    let key = format!("{prefix}{}:{policy}:{subject}", policy.len());
    key.into_bytes().into()
}

/// Returns the policy and the subject in a key; `None` if it is not one of these keys.
pub(super) fn parts<'a>(prefix: &str, key: &'a [u8]) -> Option<(&'a str, &'a str)> {
    let rest = std::str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?;
    let (length, rest) = rest.split_once(':')?;
    let is_length = length.bytes().all(|byte| byte.is_ascii_digit()) && !length.starts_with('0');
    let (policy, rest) = rest.split_at_checked(is_length.then(|| length.parse().ok())??)?;
    Some((policy, rest.strip_prefix(':')?))
}

/// Returns the key of a subject's permits, by that of its counters. In a cluster both have to be in one
/// slot, so the one is the hash tag of the other; unless the prefix has one.
pub(super) fn of_permits(prefix: &str, counters: &[u8]) -> Box<[u8]> {
    [prefix.as_bytes(), b"{", counters, b"}"].concat().into()
}

/// Returns `true` for a key of permits.
pub(super) fn is_of_permits(prefix: &str, key: &[u8]) -> bool {
    let rest = key.strip_prefix(prefix.as_bytes()).and_then(|rest| rest.strip_prefix(b"{"));
    let counters = rest.and_then(|rest| rest.strip_suffix(b"}"));
    counters.is_some_and(|counters| parts(prefix, counters).is_some())
}

/// Returns the pattern of the keys with this prefix, or of those of one policy.
pub(super) fn pattern(prefix: &str, policy: Option<&str>) -> Vec<u8> {
    let policy = policy.map(without_braces);
    let beginning = match policy {
        Some(policy) => format!("{prefix}{}:{policy}:", policy.len()),
        None => prefix.to_owned(),
    };
    let mut pattern = Vec::with_capacity(beginning.len() + 1);
    for byte in beginning.bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'-' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

/// Returns the text, or its hash if it has braces.
fn without_braces(text: &str) -> Cow<'_, str> {
    match text.contains(['{', '}']) {
        true => Cow::Owned(Subject::hashed(text).to_string()),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::backend::redis::cluster::slot_of;

    fn slots(prefix: &str, names: &[&str], subject: impl Fn(usize) -> String) -> usize {
        let mut slots = HashSet::new();
        for name in names {
            for number in 0..100 {
                let subject = subject(number);
                let key = of(prefix, name, &subject);
                slots.insert(slot_of(&key));
            }
        }
        slots.len()
    }

    #[test]
    fn nothing_in_a_subject_or_a_name_steers_the_slot() {
        for names in [["login", "search"], ["{a}", "b{a}"], ["{", "}"]] {
            for shape in ["{a}N", "x{a}N", "{a}{N}", "}N", "a}N", "{N", "N"] {
                // A brace that the prefix leaves open ends nowhere, either.
                for prefix in ["tollgate:", "toll{gate:", "toll}gate:"] {
                    let slots =
                        slots(prefix, &names, |number| shape.replace('N', &number.to_string()));
                    assert!(slots > 190, "{slots}: {prefix} {names:?} {shape}");
                }
            }
        }
        // Who writes a tag into the prefix wants one slot.
        assert_eq!(slots("{tollgate}:", &["login"], |number| number.to_string()), 1);
    }

    #[test]
    fn keys_stay_apart() {
        // Braces are hashed. A colon separates the parts of a key, and could be in any of them.
        let texts = [
            "a", "{a}", "a}", "{a", "{", "}", "{}", "a{", "~{", "a:a", "a:", ":a", ":", "a:a:a",
            "1:a", "a:1:a", "",
        ];
        let mut keys = HashSet::new();
        for name in texts {
            for subject in texts {
                let key = of("tollgate:", name, subject);
                assert!(keys.insert(key), "{name} {subject}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_key_is_taken_apart_into_what_it_was_made_of(
            prefix in "[a-z:{}0-9]{0,8}",
            policy in "[a-z0-9:äü ]{1,12}",
            subject in "[a-z0-9:|~ ]{0,12}",
        ) {
            let key = of(&prefix, &policy, &subject);
            prop_assert_eq!(parts(&prefix, &key), Some((&*policy, &*subject)));
            prop_assert!(is_of_permits(&prefix, &of_permits(&prefix, &key)));
        }
    }

    #[test]
    fn other_keys_are_told_apart() {
        for key in ["a", "t:", "t:5", "t:5:login", "t:6:login:", "t:05:login:a", "t:x:login:a"] {
            assert_eq!(parts("t:", key.as_bytes()), None, "{key}");
        }
        assert!(is_of_permits("t:", b"t:{t:5:login:a}"));
        for key in ["t:{t:5:login:a", "t:5:login:{a}", "t:{a}", "{t:5:login:a}"] {
            assert!(!is_of_permits("t:", key.as_bytes()), "{key}");
        }
        // The length is one of bytes, and may not lead into a character.
        assert_eq!(parts("t:", "t:1:ä:a".as_bytes()), None);
        assert_eq!(parts("t:", b"t:99999999999999999999:a:a"), None);
        assert_eq!(parts("t:", b"t:5:log\xff\xfe:a"), None);
    }

    #[test]
    fn characters_with_a_meaning_in_patterns_have_none() {
        let pattern = |policy| String::from_utf8(pattern("t*:", policy)).unwrap();
        assert_eq!(pattern(None), "t\\*:*");
        assert_eq!(pattern(Some("a[b]?")), "t\\*:5:a\\[b\\]\\?:*");
    }
}
