//! The hash by which subjects are replaced that must not be read: credentials, and all others if the
//! operator wants that.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::fmt_with_causes;
use crate::subject::Subject;

/// The smallest length of a pepper, in bytes. A shorter one could be found by trying all.
const MIN_PEPPER: usize = 16;

/// The error for a pepper that is too short.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pepper has at least {MIN_PEPPER} bytes: take 32 random ones")]
pub struct PepperError(());

impl fmt::Debug for PepperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

/// A secret key, in the form in which it is used. It is not kept in clear.
pub(crate) type Pepper = Hmac<Sha256>;

/// The hash of a limiter's subjects: SHA-256, or HMAC-SHA-256 if there is a pepper.
#[derive(Clone, Default)]
pub(crate) struct SubjectHash {
    pepper: Option<Pepper>,
    /// `true` if not only credentials are hashed.
    hides_all: bool,
}

impl SubjectHash {
    /// Prepares a pepper.
    ///
    /// # Errors
    ///
    /// If it is too short.
    pub(crate) fn keyed(pepper: &[u8]) -> Result<Pepper, PepperError> {
        if pepper.len() < MIN_PEPPER {
            return Err(PepperError(()));
        }
        Hmac::new_from_slice(pepper).map_err(|_| PepperError(()))
    }

    pub(crate) fn new(pepper: Option<Pepper>, hides_all: bool) -> Self {
        Self { pepper, hides_all }
    }

    /// Returns the hash of a subject if all subjects are hidden; `None` if they are not.
    #[inline]
    pub(crate) fn hidden(&self, subject: &str) -> Option<Subject> {
        self.hides_all.then(|| self.secret(subject.as_bytes()))
    }

    /// Returns the first half of the hash of a credential as the subject. The credential itself is
    /// never stored, sent or logged.
    pub(crate) fn secret(&self, value: &[u8]) -> Subject {
        match &self.pepper {
            Some(pepper) => {
                let mut pepper = pepper.clone();
                pepper.update(value);
                Subject::of_digest(&pepper.finalize().into_bytes())
            }
            None => Subject::secret(value),
        }
    }
}

/// Shows nothing of the pepper.
impl fmt::Debug for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectHash")
            .field("pepper", &self.pepper.is_some())
            .field("hides_all", &self.hides_all)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_half_an_hmac_of_sha_256() {
        // RFC 4231, test case 3: twenty bytes 0xaa and fifty bytes 0xdd.
        let hash = SubjectHash::new(SubjectHash::keyed(&[0xaa; 20]).ok(), false);
        let expected = "773ea91e36800e46854db8ebd09181a7";
        assert_eq!(hash.secret(&[0xdd; 50]).as_str(), expected);
        assert_ne!(SubjectHash::default().secret(&[0xdd; 50]).as_str(), expected);
        assert!(SubjectHash::keyed(&[1; MIN_PEPPER - 1]).is_err());
        assert!(!format!("{hash:?}").contains("170"), "{hash:?}");
    }
}
