//! Subjects: the values of keys for single requests. A subject is bounded in size and unambiguous,
//! and never contains a secret.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use smol_str::{SmolStr, SmolStrBuilder, ToSmolStr as _, format_smolstr};

/// The largest length of a subject, in bytes. A longer subject is replaced by its hash, so that
/// clients cannot make keys arbitrarily large.
const MAX_LEN: usize = 128;

/// The first character of subjects that are no plain text, such as hashes of long text.
const MARK: char = '~';

/// The value by which a limit counts: requests of the same subject are counted together. The result
/// of a key function is converted to a subject.
///
/// A subject must not contain credentials: hash them first. (The keys `header(…)` and `cookie(…)`
/// do that.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(SmolStr);

impl Subject {
    /// Creates the subject of one value.
    pub(crate) fn of(value: &dyn fmt::Display) -> Self {
        Self::bounded(value.to_smolstr())
    }

    /// Creates the subject of several values: that of each, joined. So a value is the same part
    /// wherever it stands, alone or beside the subjects of other keys.
    pub(crate) fn of_all(values: &[&dyn fmt::Display]) -> Self {
        if let [value] = values {
            return Self::of(value);
        }
        let subjects: SmallVec<[Self; 4]> = values.iter().map(|value| Self::of(value)).collect();
        Self::joined(&subjects)
    }

    /// Joins subjects into one. A single subject stays the same. Different subjects never result in
    /// the same one.
    pub(crate) fn joined(subjects: &[Self]) -> Self {
        if let [subject] = subjects {
            return subject.clone();
        }
        let mut joined = SmolStrBuilder::new();
        for (index, Self(text)) in subjects.iter().enumerate() {
            if index > 0 {
                joined.push('|');
            }
            for char in text.chars() {
                if matches!(char, '|' | '\\') {
                    joined.push('\\');
                }
                joined.push(char);
            }
        }
        Self::bounded(joined.finish())
    }

    /// Returns the subject of limits that count all requests together.
    #[cfg(feature = "axum")]
    pub(crate) const fn everybody() -> Self {
        Self(SmolStr::new_static("*"))
    }

    /// Returns the first half of the SHA-256 hash of a credential as the subject. The credential
    /// itself is never stored, sent or logged.
    pub(crate) fn secret(value: &[u8]) -> Self {
        Self::of_digest(&Sha256::digest(value))
    }

    /// Returns the first half of a digest as the subject.
    pub(crate) fn of_digest(digest: &[u8]) -> Self {
        let half = digest.iter().take(16).fold(0_u128, |half, &byte| half << 8 | u128::from(byte));
        Self(format_smolstr!("{half:032x}"))
    }

    /// Creates a subject from text. The caller ensures that it is short, printable and does not
    /// begin with [`MARK`].
    #[cfg(feature = "axum")]
    pub(crate) fn plain(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// Returns the subject that all requests without the key share.
    #[cfg(feature = "axum")]
    pub(crate) const fn missing() -> Self {
        Self(SmolStr::new_static("~missing"))
    }

    /// Creates a subject from text that a client has sent. Text that the subject of another kind of
    /// key could have, an address or [`everybody`](Self::everybody), is hashed, so that in a group
    /// with several kinds of keys no client is counted as another one by what it sends.
    #[cfg(feature = "axum")]
    pub(crate) fn sent(text: &str) -> Self {
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        let is_address = address.parse::<IpAddr>().is_ok() || is_prefix(address);
        if is_address || text == Self::everybody().as_str() {
            return Self::hashed(text);
        }
        Self::of(&text)
    }

    /// Creates a subject from the text of one.
    pub(crate) fn known(text: SmolStr) -> Self {
        Self(text)
    }

    /// Creates a subject from text that is not a hash, so that no text is mistaken for the hash of
    /// another: text that begins with [`MARK`] is hashed.
    fn bounded(text: SmolStr) -> Self {
        if is_bounded(&text) && !text.starts_with(MARK) { Self(text) } else { Self::hashed(&text) }
    }

    /// Returns [`MARK`] and the hash of the text.
    pub(crate) fn hashed(text: &str) -> Self {
        Self(format_smolstr!("{MARK}{}", Self::secret(text.as_bytes())))
    }

    /// Returns the text if it is short and printable, as every subject is, or else its hash. A
    /// subject stays the same, so the subject of a refusal can be passed on, for instance to reset
    /// it.
    #[inline]
    pub(crate) fn bounded_text(text: &str) -> Cow<'_, str> {
        if is_bounded(text) { Cow::Borrowed(text) } else { Self::hash_text(text) }
    }

    #[cold]
    fn hash_text(text: &str) -> Cow<'_, str> {
        Cow::Owned(Self::hashed(text).as_str().to_owned())
    }

    /// Returns the subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Creates the subject of this text, like a key function that returns it.
impl From<&str> for Subject {
    fn from(text: &str) -> Self {
        Self::of(&text)
    }
}

/// Creates the subject of this text, like a key function that returns it.
impl From<String> for Subject {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

/// Creates the subject of the address as it is: unlike the key `ip`, it does not count by prefixes.
impl From<IpAddr> for Subject {
    fn from(address: IpAddr) -> Self {
        Self::of(&address)
    }
}

/// Returns `true` if the text is at most [`MAX_LEN`] long and all of it is printable ASCII.
#[inline]
fn is_bounded(text: &str) -> bool {
    /// The bits by which a byte of a word is not printable ASCII.
    fn unprintable(word: u64) -> u64 {
        const EACH: u64 = u64::MAX / 255;
        // A byte below 0x80 carries into the bit 0x80 exactly if it is 0x20 or more, and 0x7f if
        // 1 is added.
        let low = word & (EACH * 0x7f);
        (word | !(low + EACH * 0x60) | (low + EACH)) & (EACH * 0x80)
    }
    let bytes = text.as_bytes();
    if bytes.len() > MAX_LEN {
        return false;
    }
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    };
    // The last word overlaps the one before it, so that no bytes are left over.
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.iter().chain([last]);
    words.fold(0, |odd, word| odd | unprintable(u64::from_le_bytes(*word))) == 0
}

/// Returns `true` if this is the text of a network of IPv6 clients without its number of bits: at
/// most eight groups of hexadecimal digits.
#[cfg(feature = "axum")]
fn is_prefix(text: &str) -> bool {
    let is_group = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.contains(':') && text.split(':').all(is_group)
}

/// A type that a key function may return. A result of `None` means that the request lacks the key,
/// and it is then refused by default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` says nothing of whose requests are counted",
    label = "a key function returns text, a number, an address or a `Subject`",
    note = "return `String`, or `Option<String>` where the key may be missing"
)]
pub trait IntoSubject {
    /// Converts the value into a subject; `None` if the key is missing.
    fn into_subject(self) -> Option<Subject>;
}

impl IntoSubject for Subject {
    fn into_subject(self) -> Option<Subject> {
        Some(self)
    }
}

impl<T: IntoSubject> IntoSubject for Option<T> {
    fn into_subject(self) -> Option<Subject> {
        self.and_then(T::into_subject)
    }
}

macro_rules! displayed {
    ($($ty:ty),*) => {$(
        impl IntoSubject for $ty {
            fn into_subject(self) -> Option<Subject> {
                Some(Subject::of(&self))
            }
        }
    )*};
}

displayed!(String, &str, Cow<'_, str>, IpAddr, u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn of(parts: &[String]) -> Subject {
        let parts: Vec<&dyn fmt::Display> = parts.iter().map(|part| part as _).collect();
        Subject::of_all(&parts)
    }

    #[test]
    fn one_part_is_itself_and_several_are_joined() {
        assert_eq!(Subject::of(&"a|b").as_str(), "a|b");
        assert_eq!(Subject::of_all(&[&"a", &7]).as_str(), "a|7");
        assert_eq!(Subject::of_all(&[&"a|b", &"c\\"]).as_str(), "a\\|b|c\\\\");
        assert_eq!(Subject::of_all(&[]).as_str(), "");
    }

    #[test]
    fn what_is_long_or_odd_is_hashed_and_marked() {
        // `printf ü | sha256sum`, the first half.
        assert_eq!(Subject::of(&"ü").as_str(), "~607474ca475a9724d7360aba71a56d5d");
        assert_eq!(Subject::of(&"a".repeat(129)).as_str().len(), 33);
        assert_eq!(Subject::of(&"a".repeat(128)).as_str().len(), 128);
        assert!(Subject::of(&"~missing") != Subject::missing());
    }

    #[test]
    fn a_secret_is_half_its_sha_256() {
        // `printf secret | sha256sum`, the first half.
        assert_eq!(Subject::secret(b"secret").as_str(), "2bb80d537b1da3e38bd30361aa855686");
    }

    /// All texts of up to three of the characters that matter, in twos and in threes.
    #[test]
    fn different_parts_make_different_subjects() {
        let mut texts = vec![String::new()];
        for length in 0..3 {
            let longer: Vec<_> =
                texts.iter().filter(|text| text.len() == length).cloned().collect();
            texts.extend(
                longer.iter().flat_map(|text| ['a', '|', '\\'].map(|c| format!("{text}{c}"))),
            );
        }
        let short: Vec<_> = texts.iter().filter(|text| text.len() < 3).cloned().collect();
        let twos = texts.iter().flat_map(|a| texts.iter().map(move |b| vec![a.clone(), b.clone()]));
        let threes = short.iter().flat_map(|a| {
            let pairs = short.iter().flat_map(|b| short.iter().map(move |c| (b, c)));
            pairs.map(move |(b, c)| vec![a.clone(), b.clone(), c.clone()])
        });
        let mut found = HashMap::new();
        for parts in twos.chain(threes) {
            let subject = of(&parts).to_string();
            let other = found.insert(subject, parts.clone());
            assert_eq!(other, None, "{parts:?}");
        }
        assert_eq!(found.len(), 40 * 40 + 13 * 13 * 13);
    }

    proptest! {
        #[test]
        fn subjects_are_bounded(parts in prop::collection::vec("(?s).{0,200}", 1..4)) {
            let subject = of(&parts);
            prop_assert!(subject.as_str().len() <= MAX_LEN);
            prop_assert!(subject.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }

        #[test]
        fn different_texts_make_different_subjects(a in "[~aü]{0,3}", b in "[~aü]{0,3}") {
            let same = Subject::of(&a) == Subject::of(&b);
            prop_assert_eq!(a == b, same);
            // A client cannot send the hash of another subject as text, either.
            let hash = of(&[a]);
            prop_assert_eq!(of(&[hash.to_string()]) == hash, !hash.as_str().starts_with(MARK));
        }
    }
}
