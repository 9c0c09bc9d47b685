//! The sources of settings: a file, and environment variables that take precedence over it.

use std::path::Path;

use figment2::providers::{Format, Json, Toml};
use figment2::value::{Dict, Map, Tag, Value};
use figment2::{Figment, Metadata, Profile, Provider};
use serde_saphyr::figment2::Yaml;

use super::error::{ConfigError, VARIABLE};
use super::service_link::is_service_link;
use super::settings::Settings;

const PREFIX: &str = "TOLLGATE_";
/// The prefix of the environment variables of the project's own tests. They are not settings.
const NOT_SETTINGS: &str = "TOLLGATE_TEST_";
const REDIS_URL: &str = "REDIS_URL";
/// The keys of `backend` that are no text. A text is taken as it stands, even if it looks like a
/// value of another type. An empty one counts as absent, because deployments leave a variable empty
/// where a server is optional.
const NO_TEXTS: [&str; 4] = ["deadline", "max_age", "max_keys", "sentinel_tls"];
/// The keys that are lists of texts, which a variable may also contain separated by commas.
const LISTS: [[&str; 2]; 2] = [["http", "trusted_proxies"], ["http", "nat64_prefixes"]];

/// The name and value of an environment variable that is a setting.
pub(super) type Variable = (String, String);

/// The settings from one source: a file or an environment variable.
struct SettingsLayer {
    name: String,
    dict: Dict,
}

impl Provider for SettingsLayer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment2::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// The settings merged from all sources, with the source of each.
#[derive(Clone)]
pub(super) struct LoadedSettings {
    pub(super) settings: Settings,
    figment: Figment,
}

impl LoadedSettings {
    /// Reads the text of a file, if there is one, and the environment variables.
    pub(super) fn read(
        file: Option<(&Path, &str)>,
        variables: &[Variable],
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some((path, text)) = file {
            figment = figment
                .merge(SettingsLayer { name: path.display().to_string(), dict: dict(path, text)? });
        }
        for (name, value) in variables {
            figment = figment.merge(of_variable(name, value));
        }
        let settings = figment.extract().map_err(ConfigError::of_reading)?;
        Ok(Self { settings, figment })
    }

    /// Returns the source that sets a key: the path of the file, or the name of the variable.
    /// Returns `None` if no source sets it.
    pub(super) fn place(&self, key: &str) -> Option<String> {
        self.figment.find_metadata(key).map(|found| found.name.clone().into_owned())
    }
}

fn dict(path: &Path, text: &str) -> Result<Dict, ConfigError> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let read = match extension.to_str() {
        Some("toml") => Toml::from_str(text).map_err(|error| {
            let (line, column) = error.span().map_or((1, 1), |span| position(text, span.start));
            format!("line {line}, column {column}: {}", error.message())
        }),
        Some("json") => Json::from_str(text).map_err(|error| without_quotes(&error.to_string())),
        // A YAML file that contains only comments has no settings.
        Some("yaml" | "yml") => Yaml::from_str::<Option<Dict>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| without_quotes(&error.without_snippet().to_string())),
        _ => Err("its name does not say its format: call it `.toml`, `.json` or `.yaml`".into()),
    };
    let reason = |error: String| error.trim_end().to_owned();
    read.map_err(|error| ConfigError::new(path.display().to_string(), None, reason(error)))
}

/// Returns the line and the column of the byte at `offset`, both counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = String::from_utf8_lossy(text.as_bytes().get(..offset).unwrap_or_default());
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Returns the text of an error about a whole file without the values of the file, which stand in
/// double quotes and may be secrets.
fn without_quotes(error: &str) -> String {
    let mut parts = error.split('"');
    let first = parts.next().unwrap_or_default().to_owned();
    // A quote within the value is escaped, so what stands between the first quote and the last one
    // is left out.
    match parts.next_back() {
        Some(last) => format!("{first}…{last}"),
        None => first,
    }
}

/// Returns the variables that are settings, in ascending order of precedence.
pub(super) fn variables(environment: impl Iterator<Item = Variable>) -> Vec<Variable> {
    let is_setting = |(name, value): &Variable| {
        let is_ours = name.starts_with(PREFIX)
            && !name.starts_with(NOT_SETTINGS)
            && !is_service_link(name, value);
        (name == REDIS_URL || is_ours) && !(value.is_empty() && is_text(&path(name)))
    };
    let mut variables: Vec<_> = environment.filter(is_setting).collect();
    variables.sort_by_key(|(name, _)| (name.starts_with(PREFIX), name.clone()));
    variables
}

/// Returns the keys of a variable: those of `TOLLGATE_BACKEND__MAX_KEYS` are `backend` and
/// `max_keys`.
fn path(name: &str) -> Vec<String> {
    match name.strip_prefix(PREFIX) {
        Some(key) => key.to_ascii_lowercase().split("__").map(str::to_owned).collect(),
        None => vec!["backend".to_owned(), "url".to_owned()],
    }
}

fn is_text(path: &[String]) -> bool {
    matches!(path, [table, key] if table == "backend" && !NO_TEXTS.contains(&key.as_str())
        || table == "http" && key == "pepper")
}

/// Converts a variable: `TOLLGATE_BACKEND__MAX_KEYS` sets `backend.max_keys`.
fn of_variable(name: &str, value: &str) -> SettingsLayer {
    let path = path(name);
    let parse = || match value.parse() {
        // Parses numbers, `true`, and lists in brackets; anything else is text.
        Ok::<Value, std::convert::Infallible>(value) => value,
        Err(never) => match never {},
    };
    let mut value = match (is_text(&path), LISTS.iter().any(|list| path == *list), parse()) {
        (true, ..) => Value::from(value),
        (false, true, parsed) if parsed.as_str().is_some() => {
            let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::from(parts.collect::<Vec<_>>())
        }
        (.., parsed) => parsed,
    };
    for part in path.iter().skip(1).rev() {
        value = Value::Dict(Tag::Default, Dict::from([(part.clone(), value)]));
    }
    let first = path.first().cloned().unwrap_or_default();
    SettingsLayer { name: format!("{VARIABLE}{name}"), dict: Dict::from([(first, value)]) }
}
