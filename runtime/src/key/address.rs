//! The client's address, and the subject that it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::header::FORWARDED;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::forwarded;
use crate::http::{ForwardedHeader, HttpOptions};
use crate::subject::Subject;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is asking; `None` if the server was not told who has connected.
pub(super) fn subject(parts: &Parts, options: &HttpOptions) -> Option<Subject> {
    text(parts, options).map(|text| Subject::plain(text.as_str()))
}

/// That subject's text, which has not yet been put anywhere.
#[inline]
pub(super) fn text(parts: &Parts, options: &HttpOptions) -> Option<Text> {
    let client = client(peer(parts)?, &parts.headers, options);
    Some(match client {
        IpAddr::V4(address) => ipv4(address),
        IpAddr::V6(address) => ipv6(address, options.ipv6_prefix),
    })
}

/// Who has connected.
fn peer(parts: &Parts) -> Option<IpAddr> {
    let extensions = &parts.extensions;
    let real = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let mock = || extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0);
    real().or_else(mock).map(|address| address.ip())
}

/// The peer; or, as long as that is a trusted proxy, whom it says that it speaks for. What
/// cannot be read is nobody, and nothing to the left of it is believed: anyone can have
/// written it.
fn client(peer: IpAddr, headers: &HeaderMap, options: &HttpOptions) -> IpAddr {
    let trusts = |address| options.trusted_proxies.iter().any(|proxy| proxy.contains(&address));
    let mut client = peer.to_canonical();
    if !trusts(client) {
        return client;
    }
    let (name, list): (_, fn(&[u8]) -> forwarded::List<'_>) = match options.forwarded_header {
        ForwardedHeader::XForwardedFor => (X_FORWARDED_FOR, forwarded::x_forwarded_for),
        ForwardedHeader::Forwarded => (FORWARDED, forwarded::forwarded),
    };
    // Several lines are one list.
    for address in headers.get_all(name).iter().rev().flat_map(|line| list(line.as_bytes())) {
        let Some(address) = address else { return client };
        client = address.to_canonical();
        if !trusts(client) {
            return client;
        }
    }
    client
}

/// An IPv4 address, written without the machinery of formatting and without a branch that
/// the next client's takes another way: this is done for every request.
#[inline]
fn ipv4(address: Ipv4Addr) -> Text {
    // A little-endian number, so that it is put together in a register. Each octet and its dot
    // are at most four bytes.
    let (mut text, mut len) = (0, 0);
    for octet in address.octets() {
        let octet = OCTETS[usize::from(octet)];
        text |= u128::from(octet) << (8 * len);
        len += octet_len(octet);
    }
    // The last dot is left out.
    Text::from_number(text, len - 1)
}

/// The digits of each octet and a dot behind them, the first in the lowest byte.
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

/// How many bytes of it there are.
const fn octet_len(octet: u32) -> usize {
    (u32::BITS - octet.leading_zeros()).div_ceil(8) as usize
}

/// One subject for all addresses that share the prefix: its segments and its length.
fn ipv6(address: Ipv6Addr, prefix: u8) -> Text {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    let segments = Ipv6Addr::from_bits(address.to_bits() & mask).segments();
    let mut text = Text::from_number(0, 0);
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

/// Room for the longest: eight segments of four digits, what parts them, and the prefix, 43 in
/// all; and whole words of the processor.
#[repr(align(16))]
pub(super) struct Text {
    bytes: [u8; 48],
    len: usize,
}

impl Text {
    /// The bytes of a little-endian number, of which so many count.
    #[inline]
    fn from_number(text: u128, len: usize) -> Self {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&text.to_le_bytes());
        Self { bytes, len }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
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

    /// Only ASCII is ever pushed. All bytes are looked at, as that is done in words.
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
