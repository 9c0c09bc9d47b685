//! JSON strings.

/// Returns `text` as a JSON string, quotes included. Serializing text cannot fail.
pub(super) fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
