//! The doors by which the text of programs becomes a subject.

use std::borrow::Cow;

use super::Limiter;
use crate::subject::Subject;
use crate::subject_hash::SubjectHash;

impl Limiter {
    /// Returns the subject of a text that the program passes to the limiter, as it is counted: the
    /// text if it is short and printable, or else its hash. Programs pass what clients have sent,
    /// which may have any length.
    #[inline]
    pub(crate) fn subject_of<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = Subject::bounded_text(text);
        if let Some(hidden) = self.hidden(&text) {
            return Cow::Owned(hidden.as_str().to_owned());
        }
        text
    }

    /// Returns the hash of credentials, and of all subjects if they are hidden.
    #[inline]
    pub(crate) fn subject_hash(&self) -> &SubjectHash {
        &self.shared.hash
    }

    /// Returns the hash of a subject if subjects are hidden; `None` if they are not.
    #[inline]
    pub(crate) fn hidden(&self, subject: &str) -> Option<Subject> {
        let hash = self.subject_hash();
        hash.hides_all.then(|| hash.secret(subject.as_bytes()))
    }
}
