//! Text without what may be a secret. Operators put URLs with passwords in the wrong place, and
//! errors are logged.

use std::borrow::Cow;
#[cfg(any(feature = "config", feature = "redis"))]
use std::path::Path;

/// Returns the text of an error without the user parts of URLs in it: what stands between `://` and
/// the last `@` of the line, or after `://:` if the URL is cut off.
#[cfg(feature = "config")]
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(line_without_secrets).collect();
    Cow::Owned(lines.join("\n"))
}

#[cfg(feature = "config")]
fn line_without_secrets(line: &str) -> Cow<'_, str> {
    let Some((before, after)) = line.split_once("://") else { return Cow::Borrowed(line) };
    match after.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{before}://…@{host}")),
        None if after.starts_with(':') => Cow::Owned(format!("{before}://…")),
        None => Cow::Owned(format!("{before}://{}", line_without_secrets(after))),
    }
}

/// Returns a value as an error shows it: as it is, or without what stands behind the scheme of a URL,
/// or as three dots if it may be a part of a URL with a password.
pub(crate) fn shown(value: &str) -> Cow<'_, str> {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some((scheme, _)) = value.split_once("://")
        && is_scheme(scheme)
    {
        return Cow::Owned(format!("{scheme}://…"));
    }
    let is_cut_off = value.split_once("//").is_some_and(|(_, after)| after.contains(':'));
    let may_be_secret = value.contains('@') || value.contains("://") || is_cut_off;
    Cow::Borrowed(if may_be_secret { "…" } else { value })
}

/// Returns a path as an error shows it. An operator may have taken the setting of a file for that of
/// a URL.
#[cfg(any(feature = "config", feature = "redis"))]
pub(crate) fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
#[cfg(feature = "config")]
mod tests {
    use super::*;

    #[test]
    fn the_user_parts_of_urls_are_left_out() {
        for (text, expected) in [
            ("no URL: a@b", "no URL: a@b"),
            ("`redis://h:1` is wrong", "`redis://h:1` is wrong"),
            ("`redis://:s3cret@h` is wrong", "`redis://…@h` is wrong"),
            ("`redis://u:s3@cret@h` is\nwrong @h", "`redis://…@h` is\nwrong @h"),
            ("`redis://u:s3 \"`cret@h`", "`redis://…@h`"),
            ("url = redis://:s3cret", "url = redis://…"),
            ("http://a, redis://:s3cret", "http://a, redis://…"),
        ] {
            assert_eq!(without_secrets(text), expected);
            assert_eq!(without_secrets(&without_secrets(text)), expected);
        }
        for (value, expected) in [
            ("a b", "a b"),
            ("2001:db8::/64", "2001:db8::/64"),
            ("redis://h", "redis://…"),
            ("redis://u:s3cret", "redis://…"),
            ("x y://s3cret", "…"),
            ("//:s3cret", "…"),
            (":s3cret@h", "…"),
        ] {
            assert_eq!(shown(value), expected);
        }
    }
}
