//! The error of a word that stands for no value.

use std::fmt;

use crate::error::fmt_with_causes;
use crate::suggest;

/// The error of text that is not the name of an [`Algorithm`](crate::Algorithm) or of a mode of
/// [`OnError`](crate::OnError). Its text lists the names that there are, and suggests the nearest.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnknownWord {
    word: String,
    message: String,
}

impl fmt::Debug for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl UnknownWord {
    /// Creates the error of `word`, which is not one of `known`.
    pub(super) fn new(word: &str, known: impl Iterator<Item = &'static str> + Clone) -> Self {
        let names: Vec<String> = known.clone().map(|name| format!("`{name}`")).collect();
        let mut message = format!("`{word}` is none of {}", names.join(", "));
        if let Some(nearest) = suggest::nearest(word, known) {
            message += &format!(": did you mean `{nearest}`?");
        }
        Self { word: word.to_owned(), message }
    }

    /// Returns the text that is no name.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.word
    }
}
