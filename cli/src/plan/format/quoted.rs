//! Texts in quotes, in which a backslash takes the meaning from a quote.

/// Returns the text before the closing quote, and what stands behind it.
pub(super) fn until_quote(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// Returns all texts in quotes, and what stands behind the last.
pub(super) fn all_quoted(mut text: &str) -> (Vec<&str>, &str) {
    let mut found = Vec::new();
    while let Some((quoted, rest)) = text.split_once('"').and_then(|(_, rest)| until_quote(rest)) {
        found.push(quoted);
        text = rest;
    }
    (found, text)
}

/// Returns the words of a line. A text in quotes is one word, without them.
pub(super) fn words(mut line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    loop {
        line = line.trim_start();
        if line.is_empty() {
            return words;
        }
        let quoted = line.strip_prefix('"').and_then(until_quote);
        let (word, rest) = quoted.unwrap_or_else(|| line.split_once(' ').unwrap_or((line, "")));
        words.push(word);
        line = rest;
    }
}
