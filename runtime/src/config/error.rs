//! Errors in a configuration.

use std::fmt;

use figment2::error::{Actual, Kind};

use crate::error::fmt_with_causes;
use crate::overrides::OverridesError;
use crate::suggest;
use crate::without_secrets::{shown, without_secrets};

/// The beginning of the name of a variable as a place.
pub(super) const VARIABLE: &str = "the environment variable ";

/// The error for an invalid configuration. Its text has a line for each mistake with the place (a
/// file or an environment variable), the key, the reason and what to do about it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    mistakes: Vec<ConfigMistake>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ConfigMistake {
    place: String,
    /// The key in TOML syntax, or `None` if the mistake concerns the whole source.
    key: Option<String>,
    reason: String,
}

impl ConfigError {
    pub(super) fn new(
        place: impl Into<String>,
        key: Option<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self { mistakes: vec![ConfigMistake::new(place, key, reason)] }
    }

    /// Converts the error of overrides. `place` is the source of those that do not know theirs.
    pub(super) fn of_overrides(place: &str, error: &OverridesError) -> Self {
        let mistakes = error.mistakes().iter().map(|mistake| {
            let key = key(["policies", mistake.policy()].into_iter().chain(mistake.key()));
            ConfigMistake::new(mistake.place().unwrap_or(place), Some(key), mistake.reason())
        });
        Self { mistakes: mistakes.collect() }
    }

    /// Converts an error of `figment2`, which reads the file and the variables. It may contain
    /// several mistakes.
    pub(super) fn of_reading(error: figment2::Error) -> Self {
        let mistakes = error.into_iter().map(|error| {
            let place = error.metadata.map_or("the configuration".into(), |found| found.name);
            let mut reason = reason(&error.kind, holds_secret(&error.path));
            if let Some(variable) = place.strip_prefix(VARIABLE) {
                reason += in_variable(&error.kind, variable).as_deref().unwrap_or_default();
            }
            let key = Some(key(error.path.iter().map(String::as_str)));
            ConfigMistake::new(place, key, reason)
        });
        Self { mistakes: mistakes.collect() }
    }
}

impl ConfigMistake {
    /// Creates a mistake. Its texts may contain parts of the configuration, which may be a URL in the
    /// wrong place, so the passwords of URLs are left out.
    fn new(place: impl Into<String>, key: Option<String>, reason: impl Into<String>) -> Self {
        let clean = |text: String| without_secrets(&text).into_owned();
        Self { place: clean(place.into()), key: key.map(clean), reason: clean(reason.into()) }
    }
}

/// Returns `true` if the values of a key may be secrets, so that no error shows them.
fn holds_secret(path: &[String]) -> bool {
    const SECRETS: [&str; 6] = ["url", "pepper", "password", "secret", "credential", "user"];
    let is_secret = |part: &String| SECRETS.iter().any(|secret| part.contains(secret));
    // All of the table `backend` says how the store is reached.
    path.iter().any(is_secret) || matches!(path, [backend] if backend == "backend")
}

/// Formats a path of keys in TOML syntax: parts that are not bare keys are quoted. A part that may
/// be a URL in the wrong place is left out.
pub(super) fn key<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut key = String::new();
    for (depth, part) in path.into_iter().map(shown).enumerate() {
        let part = &*part;
        // A policy's name is always quoted, so that its end is visible.
        let is_name = depth == 1 && key == "policies";
        if depth > 0 && !is_name && part.bytes().all(|byte| byte.is_ascii_digit()) {
            key += &format!("[{part}]");
            continue;
        }
        key += if depth > 0 { "." } else { "" };
        if is_name || part.is_empty() || !part.bytes().all(is_bare) {
            key += &format!("{part:?}");
        } else {
            key += part;
        }
    }
    key
}

/// Describes a mistake. The value is shown unless it may be a secret.
fn reason(kind: &Kind, is_secret: bool) -> String {
    match kind {
        Kind::UnknownField(_, known) => {
            format!("there is no such key: {}", suggested(kind, known))
        }
        Kind::UnknownVariant(found, known) => {
            format!("`{}` is none of its words: {}", shown(found), suggested(kind, known))
        }
        Kind::MissingField(name) => format!("`{name}` is missing: add it"),
        Kind::DuplicateField(name) => format!("`{name}` is there twice: leave one out"),
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted)
            if is_secret && !is_url(found) =>
        {
            format!("write {}", wanted_words(wanted))
        }
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
            format!("write {}, not {}", wanted_words(wanted), found_words(found))
        }
        other => other.to_string(),
    }
}

/// Returns how a list or a table is written in an environment variable, if one is missing there.
fn in_variable(kind: &Kind, name: &str) -> Option<String> {
    let (Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted)) = kind else { return None };
    match wanted_words(wanted).as_str() {
        "a list" => Some(format!(": {name}='[\"first\", \"second\"]'")),
        "a table of keys" => Some(format!(": one variable for each key, such as {name}__KEY")),
        _ => None,
    }
}

fn suggested(kind: &Kind, known: &'static [&'static str]) -> String {
    let (Kind::UnknownField(found, _) | Kind::UnknownVariant(found, _)) = kind else {
        return String::new();
    };
    suggest::hint(found, known.iter().copied(), "there is none")
}

/// Describes an expected type to readers who do not know Rust.
fn wanted_words(wanted: &str) -> String {
    let most = match wanted {
        "u8" => u64::from(u8::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => u64::MAX,
        "a boolean" | "bool" => return "`true` or `false`".to_owned(),
        "a string" => return "text in quotes".to_owned(),
        "a sequence" => return "a list".to_owned(),
        "a map" => return "a table of keys".to_owned(),
        _ if wanted.starts_with("struct ") => return "a table of keys".to_owned(),
        _ => return wanted.to_owned(),
    };
    format!("a whole number from 0 to {most}")
}

/// Returns `true` for a URL, of which only the scheme is shown.
fn is_url(found: &Actual) -> bool {
    matches!(found, Actual::Str(text) if shown(text).ends_with("://…"))
}

fn found_words(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => format!("`{value}`"),
        Actual::Unsigned(number) => format!("`{number}`"),
        Actual::Signed(number) => format!("`{number}`"),
        Actual::Float(number) => format!("`{number}`"),
        Actual::Str(text) => format!("{:?}", shown(text)),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table of keys".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ConfigMistake { place, key, reason }) in self.mistakes.iter().enumerate() {
            write!(f, "{}{place}: ", if index > 0 { "\n" } else { "" })?;
            if let Some(key) = key {
                write!(f, "{key}: ")?;
            }
            f.write_str(reason)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl std::error::Error for ConfigError {}
