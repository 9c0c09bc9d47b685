//! The key of a slot: the text of its subject, or a hash of it, in 16 bytes.

use std::hash::{self, BuildHasher, Hasher};

use foldhash::quality::RandomState;
use siphasher::sip128::{Hash128, SipHasher13};

use crate::Check;

/// The text of a subject of up to 15 bytes, with its length in the upper byte, or 127 bits of a keyed
/// hash of a longer one, below a bit that no length has. So a text and a hash are never the same. No key
/// is all zeros, which is that of a place without a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotKey {
    low: u64,
    high: u64,
}

/// The longest text that is a key as it is.
const SHORT: usize = 15;
/// The bit of a hash that no text has.
const HASHED: u64 = 1 << 63;

impl SlotKey {
    /// The key of a place without a slot.
    pub(super) const NONE: Self = Self { low: 0, high: 0 };

    #[inline(always)]
    pub(super) fn is_none(self) -> bool {
        self.high == 0
    }

    /// Returns the key of a text of up to [`SHORT`] bytes.
    #[inline(always)]
    fn short(text: &[u8]) -> Self {
        let len = text.len();
        // Two overlapping words are faster to read than a number of bytes that is not known in advance.
        let (low, high) = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk())
        {
            // Of the last eight bytes, those that are not among the first; none, if there are eight.
            let rest = (u64::from_le_bytes(*last) >> 1) >> (127 - 8 * len);
            (u64::from_le_bytes(*first), rest)
        } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            let last = u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4));
            (last | u64::from(u32::from_le_bytes(*first)), 0)
        } else {
            (text.iter().rev().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte)), 0)
        };
        // The length of an empty text must not be that of none.
        Self { low, high: high | (len as u64 + 1) << 56 }
    }
}

/// The secret numbers of one backend, by which keys are made and spread over its places.
pub(super) struct KeyHasher {
    places: RandomState,
    /// SipHash is a pseudorandom function: who does not know its key cannot find two texts with the same
    /// hash in any better way than by asking for many. Two subjects with the same one would share a budget.
    texts: SipHasher13,
}

impl KeyHasher {
    pub(super) fn new() -> Self {
        // The random numbers of the standard library's maps.
        let random = hash::RandomState::new();
        let [low, high] = [0_u64, 1].map(|number| random.hash_one(number));
        Self { places: RandomState::default(), texts: SipHasher13::new_with_keys(low, high) }
    }

    #[inline(always)]
    pub(super) fn key(&self, subject: &str) -> SlotKey {
        let text = subject.as_bytes();
        if text.len() <= SHORT { SlotKey::short(text) } else { self.long(text) }
    }

    #[inline(never)]
    fn long(&self, text: &[u8]) -> SlotKey {
        let Hash128 { h1: low, h2: high } = self.texts.hash(text);
        SlotKey { low, high: high | HASHED }
    }

    /// Returns the hash of a key under the policies of one name, given the hash of that. It says where
    /// the slot of the key is, not which key it is.
    #[inline(always)]
    pub(super) fn hash(&self, key: SlotKey, name_hash: u64) -> u64 {
        let mut hasher = self.places.build_hasher();
        hasher.write_u64(key.low);
        hasher.write_u64(key.high);
        hasher.finish() ^ name_hash
    }

    #[inline(always)]
    pub(super) fn of(&self, check: &Check<'_>) -> (SlotKey, u64) {
        let key = self.key(check.subject);
        (key, self.hash(key, check.policy.name_hash()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn texts_are_the_same_key_if_and_only_if_they_are_the_same() {
        let hasher = KeyHasher::new();
        let mut texts = BTreeMap::new();
        for len in 0..40 {
            // Each differs from the first of its length in one byte.
            for at in 0..len + 1 {
                let mut text = vec![b'a'; len];
                if let Some(byte) = text.get_mut(at) {
                    *byte = b'b';
                }
                let text = String::from_utf8(text).unwrap();
                let SlotKey { low, high } = hasher.key(&text);
                assert!(!hasher.key(&text).is_none());
                assert_eq!(hasher.key(&text), hasher.key(&text.clone()));
                assert_eq!(high & HASHED != 0, len > SHORT, "{text}");
                let same = texts.insert((low, high), text.clone());
                assert!(same.is_none_or(|same| same == text), "{text}");
            }
        }
        // Bytes of zero are bytes of the text, too.
        for len in 0..SHORT {
            assert_ne!(hasher.key(&"\0".repeat(len)), hasher.key(&"\0".repeat(len + 1)));
        }
    }

    #[test]
    fn each_backend_has_secrets_of_its_own() {
        let text = "a text that is longer than a key";
        assert_ne!(KeyHasher::new().key(text), KeyHasher::new().key(text));
    }
}
