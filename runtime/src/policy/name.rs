//! The name of a policy, and its hash.

use std::hash::{Hash, Hasher};

use smol_str::SmolStr;

/// The name of a policy. Most names are constants. Two constants at the same address are equal, so
/// their texts need not be compared.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Constant(&'static str),
    Owned(SmolStr),
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Constant(name) => name,
            Self::Owned(name) => name,
        }
    }

    /// Returns the name as an owned string. The text of a constant is not copied.
    pub(super) fn to_smol_str(&self) -> SmolStr {
        match self {
            Self::Constant(name) => SmolStr::new_static(name),
            Self::Owned(name) => name.clone(),
        }
    }

    #[cold]
    fn has_text_of(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq for Name {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Constant(name), Self::Constant(other)) if std::ptr::eq(*name, *other) => true,
            _ => self.has_text_of(other),
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// Hashes a name by [FNV-1a](https://datatracker.ietf.org/doc/draft-eastlake-fnv/), which can be
/// computed at compile time. Each step processes eight bytes instead of one, because the compiler
/// has to interpret the function for each handler. Names come from the program, so no client can
/// choose names that collide. Names with the same hash are still compared by their text.
pub(super) const fn hash_name(text: &str) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = text.as_bytes();
    while let Some((word, others)) = rest.split_first_chunk() {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        // A multiplication does not carry the upper bits into the lower ones, so this mixes them.
        hash ^= hash >> 32;
        rest = others;
    }
    while let [byte, others @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
        rest = others;
    }
    hash
}
