//! SipHash-1-3 with a result of 128 bits, for the keys of long subjects.
//!
//! It is a pseudorandom function ([Aumasson, Bernstein]): who does not know the key cannot find two texts
//! with the same hash in any better way than by asking for many. The standard library has the function
//! only with a result of 64 bits, which are too few to stand for a text.
//!
//! [Aumasson, Bernstein]: https://www.aumasson.jp/siphash/siphash.pdf

use std::hash::{BuildHasher, RandomState};

/// The secret key of the function.
#[derive(Clone, Copy)]
pub(super) struct SipKey([u64; 2]);

impl SipKey {
    /// Creates a key from the random numbers of the standard library's maps.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self([0_u64, 1].map(|number| random.hash_one(number)))
    }

    /// Returns the hash of a text.
    pub(super) fn hash(self, text: &[u8]) -> [u64; 2] {
        self.with_rounds::<1, 3>(text)
    }

    /// Returns the hash with `C` rounds for each word of the text, and `D` rounds for each of the
    /// result.
    fn with_rounds<const C: usize, const D: usize>(self, text: &[u8]) -> [u64; 2] {
        let Self([low, high]) = self;
        let mut state = SipState([
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ]);
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            state.absorb::<C>(u64::from_le_bytes(*word));
        }
        let rest = rest.iter().rev().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte));
        state.absorb::<C>((text.len() as u64) << 56 | rest);
        state.0[2] ^= 0xee;
        let first = state.squeeze::<D>();
        state.0[1] ^= 0xdd;
        [first, state.squeeze::<D>()]
    }
}

struct SipState([u64; 4]);

impl SipState {
    fn absorb<const C: usize>(&mut self, word: u64) {
        self.0[3] ^= word;
        (0..C).for_each(|_| self.round());
        self.0[0] ^= word;
    }

    fn squeeze<const D: usize>(&mut self) -> u64 {
        (0..D).for_each(|_| self.round());
        self.0.into_iter().fold(0, |result, word| result ^ word)
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the texts of the reference implementation's test vectors: bytes that count up.
    fn reference(len: u8) -> [u8; 16] {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let text: Vec<u8> = (0..len).collect();
        let [first, second] = SipKey(key).with_rounds::<2, 4>(&text);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&second.to_le_bytes());
        bytes
    }

    /// With two and four rounds it is the function that has published vectors.
    #[test]
    fn it_is_the_published_function() {
        let empty = 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293_u128;
        let one = 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45_u128;
        assert_eq!(reference(0), empty.to_be_bytes());
        assert_eq!(reference(1), one.to_be_bytes());
    }

    #[test]
    fn each_byte_and_the_length_count() {
        let key = SipKey::random();
        let mut hashes = std::collections::BTreeSet::new();
        for len in 0..48 {
            assert!(hashes.insert(key.hash(&vec![0; len])));
            for at in 0..len {
                let mut text = vec![0; len];
                text[at] = 1;
                assert!(hashes.insert(key.hash(&text)));
            }
        }
    }
}
