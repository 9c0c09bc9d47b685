//! The details of a gRPC status: a `google.rpc.Status` with a `google.rpc.RetryInfo`, in base64.
//!
//! The two messages have five fields in all, and only their encoding is needed. So this crate needs
//! no library for protocol buffers.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Returns the value of `grpc-status-details-bin` for a status whose request may be retried in
/// `wait`.
pub(super) fn retry_details(code: u8, message: &str, wait: Duration) -> String {
    let mut delay = Vec::new();
    push_number(&mut delay, 1, wait.as_secs());
    push_number(&mut delay, 2, wait.subsec_nanos().into());
    let mut retry_info = Vec::new();
    push_bytes(&mut retry_info, 1, &delay);
    let mut detail = Vec::new();
    push_bytes(&mut detail, 1, RETRY_INFO.as_bytes());
    push_bytes(&mut detail, 2, &retry_info);
    let mut status = Vec::new();
    push_number(&mut status, 1, code.into());
    push_bytes(&mut status, 2, message.as_bytes());
    push_bytes(&mut status, 3, &detail);
    base64(&status)
}

/// Appends a field with a number. Numbers that are 0 are left out, as readers expect it.
fn push_number(message: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        message.push(field << 3);
        push_varint(message, number);
    }
}

/// Appends a field with text, or with a message.
fn push_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    push_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Appends a number in groups of seven bits, the lowest first. All groups but the last are marked.
fn push_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// Encodes bytes in base64 (RFC 4648 §4) without padding, as gRPC wants it.
fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4648 §10.
    #[test]
    fn base64_as_specified() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8");
    }

    /// The example of the protocol's own documentation.
    #[test]
    fn numbers_as_specified() {
        let mut message = Vec::new();
        push_number(&mut message, 1, 150);
        assert_eq!(message, [0x08, 0x96, 0x01]);
    }
}
