//! The doors by which the subjects that programs pass become those that are counted.

use std::borrow::Cow;

use super::Limiter;
use crate::named_subject::{AsSubject, SubjectRules};
#[cfg(feature = "axum")]
use crate::subject::Subject;
#[cfg(feature = "axum")]
use crate::subject_hash::SubjectHash;

impl Limiter {
    /// Returns the text under which this limiter counts a subject. It is what
    /// [`Blocked::subject`](crate::Blocked::subject), logs and the function of a
    /// [`PerSubject`](crate::PerSubject) contain, and a part of the store's keys.
    /// [`Subject::counted`](crate::Subject::counted) names the subject by it.
    ///
    /// ```
    /// use tollgate::{Limiter, MemoryBackend, Subject};
    ///
    /// let limiter = Limiter::new(MemoryBackend::new());
    /// let text = limiter.subject_text(Subject::header("x-api-key", "secret"));
    /// assert_eq!(text, "2bb80d537b1da3e38bd30361aa855686");
    /// ```
    #[must_use]
    pub fn subject_text(&self, subject: impl AsSubject) -> String {
        self.subject_of(&subject).into_owned()
    }

    /// Returns the subject that the program passes to the limiter, as it is counted. Programs pass
    /// what clients have sent, which may have any length.
    #[inline]
    pub(crate) fn subject_of<'a>(&self, subject: &'a impl AsSubject) -> Cow<'a, str> {
        subject.counted(&SubjectRules {
            hash: &self.shared.hash,
            #[cfg(feature = "axum")]
            address: &self.shared.http.address,
        })
    }

    /// Returns the hash of credentials, and of all subjects if they are hidden.
    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn subject_hash(&self) -> &SubjectHash {
        &self.shared.hash
    }

    /// Returns the hash of a subject if subjects are hidden; `None` if they are not.
    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn hidden(&self, subject: &str) -> Option<Subject> {
        self.shared.hash.hidden(subject)
    }
}
