//! Networks of addresses, and the one form in which addresses are compared.
//!
//! One client can appear under several addresses, because an IPv4 address can be written inside an
//! IPv6 address. [`Translation::canonical`] converts each of these forms to IPv4. The peer, the
//! entries of forwarded headers and the networks of the options all go through it.

use std::net::{IpAddr, Ipv4Addr};

/// The prefix of IPv4-mapped addresses (`::ffff:0:0/96`, RFC 4291 §2.5.5.2), without the last 32
/// bits. [`bits`] writes IPv4 addresses in this form.
const MAPPED: u128 = 0xffff;
/// The prefix of IPv4-translated addresses (`::ffff:0:0:0/96`, SIIT, RFC 7915).
const TRANSLATED: u128 = 0xffff_0000;
/// The well-known prefix of NAT64 (`64:ff9b::/96`, RFC 6052 §2.1).
const NAT64: u128 = 0x0064_ff9b << 64;
/// The prefix of IPv4-compatible addresses (`::/96`, RFC 4291 §2.5.5.1).
const COMPATIBLE: u128 = 0;

/// A network, or a single address. An IPv4 network has the form of its IPv4-mapped addresses, so
/// that one comparison serves both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    /// The number of leading bits that all addresses of the network share, 0 to 128.
    len: u8,
}

impl Network {
    /// Creates a network from the bits of its first address and the length of its prefix.
    /// Networks inside the prefixes that are reserved for IPv4 addresses become IPv4 networks.
    #[must_use]
    pub const fn new(bits: u128, len: u8) -> Self {
        let bits = bits & mask(len);
        match well_known(bits) {
            Some(ipv4) if len >= 96 => Self { bits: MAPPED << 32 | ipv4 as u128, len },
            _ => Self { bits, len },
        }
    }

    /// Parses a network such as `10.0.0.0/8`, or a single address. Bits after the prefix are
    /// ignored.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let len = match len {
            Some(len) if len.bytes().all(|byte| byte.is_ascii_digit()) => len.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (len <= most).then(|| Self::new(bits(address), len + (128 - most)))
    }

    /// Returns `true` if the network contains the address. Both must be canonical.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        (bits(address) ^ self.bits) & mask(self.len) == 0 && (self.is_ipv4() == address.is_ipv4())
    }

    /// Returns `true` if the network contains far more than one operator's proxies: more
    /// than a /8 of IPv4 addresses, or than a /16 of IPv6 addresses.
    pub(crate) fn is_wide(&self) -> bool {
        self.len < if self.is_ipv4() { 96 + 8 } else { 16 }
    }

    /// Returns `true` for a network of IPv4 addresses. A shorter prefix, such as `::/0`, contains
    /// IPv6 addresses only.
    fn is_ipv4(&self) -> bool {
        self.len >= 96 && self.bits >> 32 == MAPPED
    }
}

/// A prefix under which an operator's own translator (NAT64, SIIT) writes IPv4 addresses (RFC
/// 6052 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nat64Prefix {
    bits: u128,
    len: u8,
}

impl Nat64Prefix {
    /// Parses a prefix such as `2001:db8:64::/96`. Returns `None` if it is not an IPv6 network of
    /// a length that RFC 6052 allows, or if it has bits after its length or in bits 64 to 71.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, len) = text.split_once('/')?;
        let bits = address.parse::<std::net::Ipv6Addr>().ok()?.to_bits();
        let len = ["32", "40", "48", "56", "64", "96"].into_iter().find(|known| *known == len)?;
        let len = len.parse().ok()?;
        (bits & !mask(len) == 0 && has_zero_octet(bits)).then_some(Self { bits, len })
    }

    /// Returns the IPv4 address that an address with this prefix contains. The bits after it are
    /// ignored, as RFC 6052 §2.2 asks of translators.
    fn ipv4(self, bits: u128) -> Option<u32> {
        if (bits ^ self.bits) & mask(self.len) != 0 {
            return None;
        }
        if self.len == 96 {
            return Some(low(bits));
        }
        // The IPv4 address goes around bits 64 to 71, which are zero.
        let joined = bits >> 64 << 56 | bits & mask_low(56);
        has_zero_octet(bits).then(|| low(joined >> (88 - u32::from(self.len))))
    }

    /// Returns the IPv4 network that a network inside this prefix stands for.
    fn ipv4_network(self, network: Network) -> Option<Network> {
        let ipv4 = self.ipv4(network.bits).filter(|_| network.len >= self.len)?;
        // The number of the network's bits, without those that the IPv4 address goes around.
        let len = match network.len {
            len if self.len == 96 || len <= 64 => len,
            len => (len - 8).max(64),
        };
        let len = (len - self.len).min(32);
        Some(Network::new(MAPPED << 32 | u128::from(ipv4), 96 + len))
    }
}

/// The rules by which IPv4 addresses inside IPv6 addresses are found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translation {
    /// The operator's own prefixes.
    pub(crate) prefixes: Vec<Nat64Prefix>,
}

impl Translation {
    /// Returns the canonical form of an address: the IPv4 address if it contains one.
    #[inline]
    pub(crate) fn canonical(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(ipv6) => self.ipv4(ipv6.to_bits()).unwrap_or(address),
        }
    }

    fn ipv4(&self, bits: u128) -> Option<IpAddr> {
        let own = || self.prefixes.iter().find_map(|prefix| prefix.ipv4(bits));
        well_known(bits).or_else(own).map(|ipv4| IpAddr::V4(Ipv4Addr::from_bits(ipv4)))
    }

    /// Returns the canonical form of a network: the IPv4 network if the network is inside one of
    /// the prefixes. A network that contains a whole prefix and more stays as it is, so that it
    /// does not contain all IPv4 addresses.
    pub(crate) fn canonical_network(&self, network: Network) -> Network {
        let own = |prefix: &Nat64Prefix| prefix.ipv4_network(network);
        self.prefixes.iter().find_map(own).unwrap_or(network)
    }
}

/// Returns the IPv4 address inside an address with one of the prefixes that are reserved for that.
/// `::` and `::1` are no IPv4-compatible addresses.
const fn well_known(bits: u128) -> Option<u32> {
    match bits >> 32 {
        MAPPED | TRANSLATED | NAT64 => Some(low(bits)),
        COMPATIBLE if low(bits) > 1 => Some(low(bits)),
        _ => None,
    }
}

/// Returns the bits of an address; those of an IPv4 address in its IPv4-mapped form.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => MAPPED << 32 | address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

const fn low(bits: u128) -> u32 {
    (bits & mask_low(32)) as u32
}

const fn mask(len: u8) -> u128 {
    !mask_low(128 - len as u32)
}

const fn mask_low(len: u32) -> u128 {
    match 1_u128.checked_shl(len) {
        Some(next) => next - 1,
        None => u128::MAX,
    }
}

/// Returns `true` if bits 64 to 71 are zero, as RFC 6052 §2.2 demands.
const fn has_zero_octet(bits: u128) -> bool {
    bits >> 56 & 0xff == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6052 §2.4.
    #[test]
    fn prefixes_of_every_length_contain_ipv4() {
        for (prefix, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ] {
            let prefixes = vec![Nat64Prefix::parse(prefix).unwrap()];
            let translation = Translation { prefixes };
            let canonical = |text: &str| translation.canonical(text.parse().unwrap()).to_string();
            assert_eq!(canonical(address), "192.0.2.33", "{prefix}");
            assert_eq!(canonical("2001:db9::c000:221"), "2001:db9::c000:221");
            let network = |len: u8| {
                translation.canonical_network(Network::parse(&format!("{address}/{len}")).unwrap())
            };
            let outside = "198.51.100.1".parse().unwrap();
            let own: u8 = prefix.rsplit('/').next().unwrap().parse().unwrap();
            let around = if own < 64 && own + 32 > 64 || own == 64 { 8 } else { 0 };
            // A network of the whole IPv4 address contains that one, one of half of it more, and
            // a prefix and more is no IPv4 network.
            let whole = network(own + 32 + around);
            assert!(whole.contains("192.0.2.33".parse().unwrap()), "{prefix}");
            assert!(!whole.contains("192.0.2.32".parse().unwrap()), "{prefix}");
            assert!(network(own).contains(outside), "{prefix}");
            assert!(!network(own - 1).contains(outside), "{prefix}");
        }
    }

    #[test]
    fn prefixes_that_rfc_6052_does_not_allow() {
        for prefix in [
            "2001:db8::",
            "2001:db8::/33",
            "2001:db8::/128",
            "2001:db8::1/96",
            "2001:db8:0:0:100::/96",
            "10.0.0.0/32",
            "2001:db8::/+32",
            "",
        ] {
            assert_eq!(Nat64Prefix::parse(prefix), None, "{prefix}");
        }
        assert!(Nat64Prefix::parse("2001:db8:0:0:ff::/96").is_some());
    }

    #[test]
    fn networks_are_read_strictly() {
        for text in ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0", "", "/8", "a"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
        let contains = |network: &str, address: &str| {
            let network = Network::parse(network).unwrap();
            network.contains(Translation::default().canonical(address.parse().unwrap()))
        };
        assert!(contains("0.0.0.0/0", "192.0.2.1") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "192.0.2.1"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3") && contains("::1", "::1"));
        assert!(contains("64:ff9b::10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:0:10.0.0.0/104", "::10.1.2.3"));
        assert!(contains("10.0.0.0/8", "64:ff9b::a00:1") && contains("::/127", "::"));
        assert!(!contains("64:ff9b::/64", "10.1.2.3") && !contains("::/96", "10.1.2.3"));
    }
}
