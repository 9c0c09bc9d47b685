//! Parsers of `X-Forwarded-For` and `Forwarded` that read from the right: they yield each entry with
//! its address, or with `None` if the entry cannot be read.
//!
//! The nearest proxy has written the last entry; anyone may have written the others. So no text to
//! the left of an entry, quotes included, may change its meaning.

use std::net::{IpAddr, Ipv6Addr};

/// The text before the last entry (`None` if there is none), and the last entry.
type Split<'a> = (Option<&'a [u8]>, &'a [u8]);

/// An iterator over the entries of one line, the last one first.
#[derive(Debug)]
pub(super) struct ForwardedList<'a> {
    rest: Option<&'a [u8]>,
    /// The function that splits off the last entry.
    split: fn(&[u8]) -> Split<'_>,
    read: fn(&[u8]) -> Option<IpAddr>,
}

/// Parses `X-Forwarded-For: 192.0.2.1, 2001:db8::1, 198.51.100.7:80, [2001:db8::1]:80`.
pub(super) fn x_forwarded_for(line: &[u8]) -> ForwardedList<'_> {
    ForwardedList { rest: Some(line), split: split_at_comma, read: node }
}

/// Parses `Forwarded: for=192.0.2.1;proto=https, For="[2001:db8::1]:80"` (RFC 7239).
pub(super) fn forwarded(line: &[u8]) -> ForwardedList<'_> {
    ForwardedList { rest: Some(line), split: split_element, read: element }
}

/// Parses a header that contains a single address, with or without a port.
pub(super) fn single(line: &[u8]) -> Option<IpAddr> {
    node(trim(line))
}

impl<'a> Iterator for ForwardedList<'a> {
    type Item = (Option<IpAddr>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, last) = (self.split)(self.rest?);
        self.rest = rest;
        let entry = trim(last);
        Some(((self.read)(entry), entry))
    }
}

/// Parses an address with or without a port.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        let has_port = after.is_empty() || is_port(after.strip_prefix(':')?);
        return has_port.then(|| address.parse::<Ipv6Addr>().ok())?.map(IpAddr::V6);
    }
    match text.split_once(':') {
        // One colon precedes a port; several belong to an IPv6 address.
        Some((address, port)) if !port.contains(':') => {
            is_port(port).then(|| address.parse().ok())?.map(IpAddr::V4)
        }
        _ => text.parse().ok(),
    }
}

fn split_at_comma(line: &[u8]) -> Split<'_> {
    split_at(line, line.iter().rposition(|&byte| byte == b','))
}

fn split_at(line: &[u8], comma: Option<usize>) -> Split<'_> {
    match comma {
        Some(comma) => (Some(&line[..comma]), &line[comma + 1..]),
        None => (None, line),
    }
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

/// Splits at the last comma outside quotes, pairing the quotes from the right.
fn split_element(line: &[u8]) -> Split<'_> {
    let mut in_quotes = false;
    let comma = line.iter().rposition(|&byte| {
        in_quotes ^= byte == b'"';
        byte == b',' && !in_quotes
    });
    split_at(line, comma)
}

/// Returns the address in the `for` parameter of an element; `None` if there is none or the element
/// is malformed. Parameters may be empty (RFC 7239 §4). The values of other parameters need not be
/// tokens, although RFC 7239 demands it, because proxies write `host=example.com:80`, and up to
/// the next semicolon such a value cannot change the client.
fn element(mut element: &[u8]) -> Option<IpAddr> {
    // Elements with escapes are rejected. No address needs one, and in a text that is read from the
    // right, escapes would hide the beginning of a quoted string.
    if element.contains(&b'\\') {
        return None;
    }
    let mut address = None;
    loop {
        element = trim(element);
        match element {
            [] => return address,
            [b';', rest @ ..] => {
                element = rest;
                continue;
            }
            _ => {}
        }
        let (name, after) = split_once(element, b'=')?;
        let (value, after) = match after.strip_prefix(b"\"") {
            Some(after) => split_once(after, b'"')?,
            None => {
                let end =
                    after.iter().position(|&byte| byte == b';' || byte == b' ' || byte == b'\t');
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        let name = trim(name);
        let is_token = !name.is_empty() && name.iter().copied().all(is_token_byte);
        if !is_token || value.contains(&b'"') {
            return None;
        }
        if name.eq_ignore_ascii_case(b"for") {
            // A repeated parameter is ambiguous.
            if address.is_some() {
                return None;
            }
            address = Some(unambiguous_node(value)?);
        }
        element = trim(after);
        if !matches!(element, [] | [b';', ..]) {
            return None;
        }
    }
}

/// Parses an address like [`node`]. RFC 7239 §6 demands brackets around IPv6, but not all proxies
/// write them. Without brackets, an address that is followed by a port cannot be told from a longer
/// address, so a text that can be read in both ways is rejected.
fn unambiguous_node(text: &[u8]) -> Option<IpAddr> {
    let address = node(text)?;
    if address.is_ipv6() && !text.starts_with(b"[") {
        let (before, last) = std::str::from_utf8(text).ok()?.rsplit_once(':')?;
        if is_port(last) && before.parse::<Ipv6Addr>().is_ok() {
            return None;
        }
    }
    Some(address)
}

/// Returns `true` for the characters of a token (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Removes optional white space (RFC 9110 §5.6.3) from both ends.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}
