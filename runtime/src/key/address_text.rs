//! The text of a client's address as a subject.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Formats an address. Only the first `ipv6_prefix` bits of an IPv6 address are kept, so that all
/// addresses that share them are one subject.
#[inline]
pub(super) fn text(address: IpAddr, ipv6_prefix: u8) -> AddressText {
    match address {
        IpAddr::V4(address) => ipv4(address),
        IpAddr::V6(address) => ipv6(address, ipv6_prefix),
    }
}

/// Formats an IPv4 address. It runs for every request, so it avoids `fmt`, and branches that depend
/// on the address and would be mispredicted.
#[inline]
fn ipv4(address: Ipv4Addr) -> AddressText {
    // The text is built as a little-endian number, in a register. Each octet takes at most four
    // bytes, including its dot.
    let (mut text, mut len) = (0, 0);
    for octet in address.octets() {
        let octet = OCTETS[usize::from(octet)];
        text |= u128::from(octet) << (8 * len);
        len += octet_len(octet);
    }
    // Drops the last dot.
    AddressText::from_number(text, len - 1)
}

/// The text of each octet followed by a dot, as a number with the first character in the lowest
/// byte.
static OCTETS: [u32; 256] = {
    let mut octets = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let (mut text, mut rest) = (b'.' as u32, octet as u32);
        loop {
            text = text << 8 | (b'0' as u32 + rest % 10);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        octets[octet] = text;
        octet += 1;
    }
    octets
};

/// Returns the number of bytes in an entry of [`OCTETS`].
const fn octet_len(octet: u32) -> usize {
    (u32::BITS - octet.leading_zeros()).div_ceil(8) as usize
}

/// Formats the first `prefix` bits of an IPv6 address, so that all addresses that share them are
/// one subject.
fn ipv6(address: Ipv6Addr, prefix: u8) -> AddressText {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    let segments = Ipv6Addr::from_bits(address.to_bits() & mask).segments();
    let mut text = AddressText::from_number(0, 0);
    for (index, segment) in segments.into_iter().take(prefix.div_ceil(16).into()).enumerate() {
        if index > 0 {
            text.push(b':');
        }
        text.push_digits(segment, 16);
    }
    text.push(b'/');
    text.push_digits(prefix.into(), 10);
    text
}

/// The text of an address, on the stack. The longest text has 43 bytes: eight segments of four
/// digits, their separators and the prefix length. The array's size is rounded up to a multiple of
/// 16 bytes.
#[repr(align(16))]
pub(super) struct AddressText {
    bytes: [u8; 48],
    len: usize,
}

impl AddressText {
    /// Creates the text from the first `len` bytes of a little-endian number.
    #[inline]
    fn from_number(text: u128, len: usize) -> Self {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&text.to_le_bytes());
        Self { bytes, len }
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn push_digits(&mut self, number: u16, base: u16) {
        let mut digits = [0; 5];
        let mut rest = number;
        let mut count = 0;
        loop {
            digits[count] = b"0123456789abcdef"[usize::from(rest % base)];
            count += 1;
            rest /= base;
            if rest == 0 {
                break;
            }
        }
        for digit in digits[..count].iter().rev() {
            self.push(*digit);
        }
    }

    /// Returns the text, which is always ASCII. All 48 bytes are validated as UTF-8, because that
    /// proceeds by machine words and is faster than validating the part in use.
    #[inline]
    pub(super) fn as_str(&self) -> &str {
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        text.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ipv4_is_written_as_the_standard_library_does(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let subject = ipv4(address);
            prop_assert_eq!(subject.as_str(), address.to_string());
        }

        #[test]
        fn ipv6_addresses_share_a_subject_if_and_only_if_they_share_the_prefix(
            bits: u128,
            differs in 0_u8..128,
            prefix in 1_u8..=128,
        ) {
            let other = bits ^ (1 << (127 - differs));
            let [one, other] = [bits, other].map(|bits| ipv6(Ipv6Addr::from_bits(bits), prefix));
            let [one, other] = [one.as_str(), other.as_str()];
            prop_assert_eq!(one == other, differs >= prefix, "{} {}", one, other);
            let length = format!("/{prefix}");
            prop_assert!(one.ends_with(&length));
        }

        #[test]
        fn the_segments_of_ipv6_are_those_of_the_address(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            let [a, b, c, d, ..] = address.segments();
            let subject = ipv6(address, 64);
            prop_assert_eq!(subject.as_str(), format!("{a:x}:{b:x}:{c:x}:{d:x}/64"));
        }
    }
}
