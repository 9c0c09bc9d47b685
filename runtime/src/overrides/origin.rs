//! The source of an override.

use std::sync::Arc;

/// The source of an override, for messages: a file or an environment variable, or none if the
/// program has made the override. All origins are equal, so that overrides are compared by what they
/// change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin(Option<Arc<str>>);

impl Origin {
    /// Creates the origin of an override that was read from this source.
    #[cfg(feature = "config")]
    pub(super) fn new(place: &str) -> Self {
        Self(Some(place.into()))
    }

    /// Returns the source; `None` if it is the program.
    pub(super) fn place(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}
