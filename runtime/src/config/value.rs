//! Values as people write them.

use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::{Algorithm, OnError, duration_text};

/// A length of time: whole seconds, or text with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Span;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "whole seconds, or text with units from long to short, such as \"250ms\", \
                     \"1m\" or \"1h30m\"",
                )
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Span, E> {
                Ok(Span(Duration::from_secs(seconds)))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
                match u64::try_from(seconds) {
                    Ok(seconds) => self.visit_u64(seconds),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(seconds), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                let unexpected = de::Unexpected::Str(text);
                duration_text::parse(text)
                    .map(Span)
                    .ok_or_else(|| E::invalid_value(unexpected, &self))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// One of several words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

/// What words stand for.
pub(super) trait Named: Copy + 'static {
    const NAMES: &'static [&'static str];
    /// In the order of their names.
    const ALL: &'static [Self];
}

impl<'de, T: Named> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let named = T::NAMES.iter().zip(T::ALL).find(|(name, _)| **name == word);
        let (_, value) = named.ok_or_else(|| de::Error::unknown_variant(&word, T::NAMES))?;
        Ok(Self(*value))
    }
}

macro_rules! named {
    ($($(#[$attribute:meta])* $ty:ident { $($name:literal $variant:ident),* })*) => {$(
        $(#[$attribute])*
        impl Named for crate::$ty {
            const NAMES: &'static [&'static str] = &[$($name),*];
            const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    )*};
}

/// Those that have a list and names of their own.
macro_rules! named_by_itself {
    ($($ty:ident)*) => {$(
        impl Named for $ty {
            const NAMES: &'static [&'static str] = &{
                let mut names = [""; $ty::ALL.len()];
                let mut at = 0;
                while at < names.len() {
                    names[at] = $ty::ALL[at].name();
                    at += 1;
                }
                names
            };
            const ALL: &'static [Self] = $ty::ALL;
        }
    )*};
}

named_by_itself! { Algorithm OnError }

named! {
    #[cfg(feature = "axum")]
    HeaderStyle { "ietf" Ietf, "legacy" Legacy, "both" Both, "none" None }
    #[cfg(feature = "axum")]
    LegacyReset { "epoch" Epoch, "delta" Delta }
    #[cfg(feature = "axum")]
    ForwardedHeader { "x-forwarded-for" XForwardedFor, "forwarded" Forwarded }
    #[cfg(feature = "axum")]
    OnMissingKey { "reject" Reject, "shared" Shared, "exempt" Exempt }
}
