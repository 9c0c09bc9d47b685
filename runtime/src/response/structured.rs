//! Structured field values (RFC 9651).

use std::fmt::Write as _;

/// Returns `text` as a String of a structured field (RFC 9651 §3.3.3). Such a String contains only
/// printable ASCII. Other characters, such as those of other scripts, are percent-encoded.
pub(super) fn structured_string(text: &str) -> String {
    let mut string = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                string.push('\\');
                string.push(byte.into());
            }
            b' '..=b'~' => string.push(byte.into()),
            _ => {
                let _ = write!(string, "%{byte:02X}");
            }
        }
    }
    string.push('"');
    string
}
