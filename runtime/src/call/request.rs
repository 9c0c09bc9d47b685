//! The request for which a limited function is called, for keys such as `(args(email), ip)`.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::CallSubject;
use crate::http::with_limiter;
use crate::key::{Key, KeyError, KeyOptions, KeyPart, OnMissingKey};
use crate::subject::Subject;
use crate::{ClientAddr, Limiter};

/// An extractor that generated code adds to a handler whose key has parts of the request beside
/// `args(…)`. With `HEAD` it keeps a copy of the request's head, otherwise only the client's
/// address, which needs no allocation.
pub struct CallRequest<const HEAD: bool>(Kept);

enum Kept {
    Address(Option<ClientAddr>),
    Head(Box<Parts>),
}

impl<const HEAD: bool> CallRequest<HEAD> {
    /// Returns the subjects of the parts, or the reason why the call is not counted by them.
    pub async fn subjects<const N: usize>(
        &mut self,
        parts: [KeyPart; N],
        on_missing: Option<OnMissingKey>,
    ) -> Result<[Subject; N], CallSubject> {
        let mut subjects = [const { Subject::everybody() }; N];
        let mut is_exempt = false;
        for (part, slot) in parts.into_iter().zip(&mut subjects) {
            match self.subject(part, on_missing).await {
                Ok(Some(subject)) => *slot = subject,
                Ok(None) => is_exempt = true,
                Err(error) => return Err(CallSubject::Missing(error)),
            }
        }
        if is_exempt { Err(CallSubject::Uncounted) } else { Ok(subjects) }
    }

    async fn subject(
        &mut self,
        part: KeyPart,
        on_missing: Option<OnMissingKey>,
    ) -> Result<Option<Subject>, KeyError> {
        match &mut self.0 {
            Kept::Address(address) => match part {
                KeyPart::Global => Ok(Some(Subject::everybody())),
                // The attribute keeps the head for all other parts.
                _ => address.map(|client| Some(client.subject())).ok_or(KeyError::NoConnectInfo),
            },
            Kept::Head(parts) => {
                let limiter = with_limiter(parts, Limiter::clone);
                let options = limiter.http();
                let on_missing = on_missing.unwrap_or(options.on_missing_key);
                let (address, hash) = (&options.address, limiter.subject_hash());
                let options = KeyOptions { address, hash, on_missing };
                Key::from_part(part).subject(parts, options).await
            }
        }
    }
}

impl<S: Sync, const HEAD: bool> FromRequestParts<S> for CallRequest<HEAD> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(match HEAD {
            true => Kept::Head(Box::new(parts.clone())),
            false => Kept::Address(ClientAddr::of(parts)),
        }))
    }
}

/// Shows nothing of the request, because `#[tracing::instrument]` records arguments, and headers
/// contain credentials.
impl<const HEAD: bool> fmt::Debug for CallRequest<HEAD> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallRequest")
    }
}
