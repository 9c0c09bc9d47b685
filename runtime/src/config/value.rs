//! The types of values that a configuration contains as text: durations and keywords.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};

use crate::calendar::Calendar;
#[cfg(feature = "axum")]
use crate::key::{ForwardedHeader, OnMissingKey};
use crate::overrides::WrittenPeriod;
#[cfg(feature = "axum")]
use crate::response::{HeaderStyle, LegacyReset};
use crate::{Algorithm, OnError, duration_text};

/// A duration, written as whole seconds or as text with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConfigDuration(pub(super) Duration);

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = ConfigDuration;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "whole seconds, or text with units from long to short, such as \"250ms\", \
                     \"1m\" or \"1h30m\"",
                )
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<ConfigDuration, E> {
                Ok(ConfigDuration(Duration::from_secs(seconds)))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<ConfigDuration, E> {
                match u64::try_from(seconds) {
                    Ok(seconds) => self.visit_u64(seconds),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(seconds), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigDuration, E> {
                let unexpected = de::Unexpected::Str(text);
                duration_text::parse(text)
                    .map(ConfigDuration)
                    .ok_or_else(|| E::invalid_value(unexpected, &self))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A period: a length, or a unit of the calendar in a time zone, such as
/// `{ calendar = "month", zone = "Europe/Berlin" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigPeriod(pub(super) WrittenPeriod);

/// A unit of the calendar. Without a zone, it is that of UTC.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarSettings {
    calendar: Keyword<Calendar>,
    zone: Option<String>,
}

impl<'de> Deserialize<'de> for ConfigPeriod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        fn length<'de, E: de::Error>(
            value: impl IntoDeserializer<'de, E>,
        ) -> Result<ConfigPeriod, E> {
            let ConfigDuration(length) = ConfigDuration::deserialize(value.into_deserializer())?;
            Ok(ConfigPeriod(WrittenPeriod::Length(length)))
        }

        impl<'de> Visitor<'de> for Reader {
            type Value = ConfigPeriod;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "whole seconds, or text with units from long to short, such as \"250ms\", \
                     \"1m\" or \"1h30m\", or a calendar, such as { calendar = \"month\", zone = \
                     \"Europe/Berlin\" }",
                )
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<ConfigPeriod, E> {
                length(seconds)
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<ConfigPeriod, E> {
                length(seconds)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigPeriod, E> {
                length(text)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConfigPeriod, A::Error> {
                let map = de::value::MapAccessDeserializer::new(map);
                let CalendarSettings { calendar: Keyword(calendar), zone } =
                    CalendarSettings::deserialize(map)?;
                let zone = zone.as_deref().unwrap_or("UTC").into();
                Ok(ConfigPeriod(WrittenPeriod::Calendar(calendar, zone)))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A value that is written as a word, for example `closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyword<T>(pub(super) T);

/// A type whose values are written as words.
pub(super) trait Keywords: Copy + 'static {
    const NAMES: &'static [&'static str];

    /// Returns the value of this name.
    fn parse(word: &str) -> Option<Self>;
}

impl<'de, T: Keywords> Deserialize<'de> for Keyword<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let value = T::parse(&word);
        value.map(Self).ok_or_else(|| de::Error::unknown_variant(&word, T::NAMES))
    }
}

macro_rules! keywords {
    ($($(#[$attribute:meta])* $ty:ident { $($name:literal $variant:ident),* })*) => {$(
        $(#[$attribute])*
        impl Keywords for $ty {
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn parse(word: &str) -> Option<Self> {
                match word {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}

/// Implements [`Keywords`] for types that have a constant `ALL` and a method `name`.
macro_rules! keywords_by_name {
    ($($ty:ident)*) => {$(
        impl Keywords for $ty {
            const NAMES: &'static [&'static str] = &{
                let mut names = [""; $ty::ALL.len()];
                let mut at = 0;
                while at < names.len() {
                    names[at] = $ty::ALL[at].as_str();
                    at += 1;
                }
                names
            };

            fn parse(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        }
    )*};
}

keywords_by_name! { Algorithm OnError }

keywords! {
    Calendar { "day" Day, "week" Week, "month" Month, "year" Year }
    #[cfg(feature = "axum")]
    HeaderStyle { "ietf" Ietf, "legacy" Legacy, "both" Both, "none" None }
    #[cfg(feature = "axum")]
    LegacyReset { "epoch" Epoch, "delta" Delta }
    #[cfg(feature = "axum")]
    ForwardedHeader { "x-forwarded-for" XForwardedFor, "forwarded" Forwarded }
    #[cfg(feature = "axum")]
    OnMissingKey { "reject" Reject, "shared" Shared, "exempt" Exempt }
}
