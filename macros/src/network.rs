//! Networks in `exempt = net("10.0.0.0/8", …)`, checked while the attribute is expanded.

use std::net::IpAddr;

use proc_macro2::TokenStream;
use quote::quote;
use syn::LitStr;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;

use crate::crate_path::CratePath;

/// A network: the bits of its first address and the length of its prefix. An IPv4 network has the
/// form of its IPv4-mapped IPv6 addresses.
#[derive(Clone)]
pub(crate) struct Network {
    bits: u128,
    len: u8,
}

impl Network {
    /// Parses the networks between the parentheses of `net(…)`.
    pub(crate) fn parse_all(input: ParseStream<'_>) -> syn::Result<Vec<Self>> {
        let texts = Punctuated::<LitStr, syn::Token![,]>::parse_terminated(input);
        let texts = texts.map_err(|error| {
            let message = "networks are strings: write `exempt = net(\"10.0.0.0/8\")`";
            syn::Error::new(error.span(), message)
        })?;
        let mut networks = Vec::new();
        for text in &texts {
            let network = Self::parse(text.value().as_str());
            networks.push(network.map_err(|reason| syn::Error::new(text.span(), reason))?);
        }
        Ok(networks)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no network: write it as `10.0.0.0/8` or `fd00::/8`, or write one \
                 address"
            )
        };
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (family, most) = if address.is_ipv4() { ("IPv4", 32) } else { ("IPv6", 128) };
        let is_number = |len: &&str| len.bytes().all(|byte| byte.is_ascii_digit());
        let len: u8 = match len {
            None => most,
            Some(len) => len.parse().ok().filter(|_| is_number(&len)).ok_or_else(wrong)?,
        };
        if len > most {
            return Err(format!("an {family} network has 0 to {most} bits, not {len}"));
        }
        let bits = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let network = Self { bits, len: len + (128 - most) };
        let first = network.bits & u128::MAX.checked_shl(128 - u32::from(network.len)).unwrap_or(0);
        if first != network.bits {
            let first = std::net::Ipv6Addr::from_bits(first);
            let first = match address {
                IpAddr::V4(_) => IpAddr::V6(first).to_canonical(),
                IpAddr::V6(_) => IpAddr::V6(first),
            };
            return Err(format!(
                "`{text}` has an address inside the network: write `{first}/{len}` for the \
                 network, or `{address}` for that address"
            ));
        }
        Ok(network)
    }

    /// Returns a const expression of the library's type `Network`.
    pub(crate) fn tokens(&self, tollgate: &CratePath) -> TokenStream {
        let Self { bits, len } = self;
        quote!(#tollgate::Network::new(#bits, #len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_strictly() {
        for text in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0",
            "",
            "/8",
            "a",
            "10.0.0.1/8",
            "fd00::1/8",
            "10.0.0.0/256",
            " 10.0.0.0/8",
        ] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        for (text, len) in [
            ("10.0.0.0/8", 104),
            ("0.0.0.0/0", 96),
            ("192.0.2.1", 128),
            ("fd00::/8", 8),
            ("::/0", 0),
            ("::1", 128),
        ] {
            assert_eq!(Network::parse(text).ok().map(|network| network.len), Some(len), "{text}");
        }
        let mapped = Network::parse("10.0.0.0/8").ok().map(|network| network.bits);
        assert_eq!(mapped, Some(0xffff_0a00_0000));
    }
}
