//! The rule for bans, as a configuration contains it.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::value::ConfigDuration;
use crate::Ban;
use crate::overrides::written_ban;
use crate::policy::ban::BanError;

/// A rule for bans, or none in place of the one that is declared. It is written
/// `{ after = 5, for = "15m" }` or `false`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BanSettings(Option<Rule>);

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    after: u32,
    r#for: ConfigDuration,
    grow: Option<u32>,
    most: Option<ConfigDuration>,
}

impl BanSettings {
    /// Returns the rule, or `None` if nobody is banned. The error contains the name of the invalid
    /// part.
    pub(super) fn rule(&self) -> Result<Option<Ban>, (&'static str, BanError)> {
        let Some(Rule { after, r#for: ConfigDuration(first), grow, most }) = self.0 else {
            return Ok(None);
        };
        let most = most.map(|ConfigDuration(most)| most);
        written_ban(after, first, grow, most).map(Some)
    }
}

impl<'de> Deserialize<'de> for BanSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = BanSettings;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a rule such as `{ after = 5, for = \"15m\" }`, or `false`")
            }

            fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<BanSettings, E> {
                if is_on {
                    return Err(E::invalid_value(de::Unexpected::Bool(true), &self));
                }
                Ok(BanSettings(None))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<BanSettings, M::Error> {
                Rule::deserialize(MapAccessDeserializer::new(map)).map(Some).map(BanSettings)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
