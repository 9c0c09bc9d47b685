//! Where settings come from: a file, and the environment over it.

use std::path::Path;

use figment2::providers::{Format, Json, Toml};
use figment2::value::{Dict, Map, Tag, Value};
use figment2::{Figment, Metadata, Profile, Provider};
use serde_saphyr::figment2::Yaml;

use super::error::ConfigError;
use super::settings::Settings;

const PREFIX: &str = "TOLLGATE_";
/// Those of the project's own tests, which are no settings.
const NOT_SETTINGS: &str = "TOLLGATE_TEST_";
const REDIS_URL: &str = "REDIS_URL";

/// A variable of the environment that is a setting: its name and its value.
pub(super) type Variable = (String, String);

/// What a file or a variable says.
struct Source {
    name: String,
    dict: Dict,
}

impl Provider for Source {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment2::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// What has been read, with where each of it stands.
pub(super) struct Read {
    pub(super) settings: Settings,
    figment: Figment,
}

impl Read {
    /// Of the file that is `text`, if there is one, and of the environment.
    pub(super) fn of(
        file: Option<(&Path, &str)>,
        variables: &[Variable],
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some((path, text)) = file {
            figment =
                figment.merge(Source { name: path.display().to_string(), dict: dict(path, text)? });
        }
        for (name, value) in variables {
            figment = figment.merge(of_variable(name, value));
        }
        let settings = figment.extract().map_err(ConfigError::of_reading)?;
        Ok(Self { settings, figment })
    }

    /// Where a key stands.
    pub(super) fn place(&self, key: &str) -> Option<String> {
        self.figment.find_metadata(key).map(|found| found.name.clone().into_owned())
    }
}

fn dict(path: &Path, text: &str) -> Result<Dict, ConfigError> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let read = match extension.to_str() {
        Some("toml") => Toml::from_str(text).map_err(|error| error.to_string()),
        Some("json") => Json::from_str(text).map_err(|error| error.to_string()),
        // A file of nothing but comments says nothing.
        Some("yaml" | "yml") => Yaml::from_str::<Option<Dict>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| error.to_string()),
        _ => Err("its name does not say its format: call it `.toml`, `.json` or `.yaml`".into()),
    };
    let reason = |error: String| error.trim_end().to_owned();
    read.map_err(|error| ConfigError::new(path.display().to_string(), None, reason(error)))
}

/// Those of `environment` that are settings, in the order in which they count: what is said
/// later wins.
pub(super) fn variables(environment: impl Iterator<Item = Variable>) -> Vec<Variable> {
    let is_setting = |(name, _): &Variable| {
        name == REDIS_URL || name.starts_with(PREFIX) && !name.starts_with(NOT_SETTINGS)
    };
    let mut variables: Vec<_> = environment.filter(is_setting).collect();
    variables.sort_by_key(|(name, _)| (name.starts_with(PREFIX), name.clone()));
    variables
}

/// `TOLLGATE_BACKEND__MAX_KEYS` is `backend.max_keys`.
fn of_variable(name: &str, value: &str) -> Source {
    let key = match name.strip_prefix(PREFIX) {
        Some(key) => key.to_ascii_lowercase(),
        None => "backend__url".to_owned(),
    };
    let path: Vec<&str> = key.split("__").collect();
    let mut value = match path.as_slice() {
        // It is text, whatever it looks like.
        ["backend", "url"] => Value::from(value),
        // Numbers, `true`, lists in brackets; else text.
        _ => value.parse().unwrap_or_else(|never| match never {}),
    };
    for part in path.iter().skip(1).rev() {
        value = Value::Dict(Tag::Default, Dict::from([((*part).to_owned(), value)]));
    }
    let first = path.first().copied().unwrap_or_default();
    Source {
        name: format!("the environment variable {name}"),
        dict: Dict::from([(first.to_owned(), value)]),
    }
}
