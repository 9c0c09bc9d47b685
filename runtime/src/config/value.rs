//! The types of values that a configuration contains as text: durations and keywords.

use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

#[cfg(feature = "axum")]
use crate::key::{ForwardedHeader, OnMissingKey};
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
    #[cfg(feature = "axum")]
    HeaderStyle { "ietf" Ietf, "legacy" Legacy, "both" Both, "none" None }
    #[cfg(feature = "axum")]
    LegacyReset { "epoch" Epoch, "delta" Delta }
    #[cfg(feature = "axum")]
    ForwardedHeader { "x-forwarded-for" XForwardedFor, "forwarded" Forwarded }
    #[cfg(feature = "axum")]
    OnMissingKey { "reject" Reject, "shared" Shared, "exempt" Exempt }
}
