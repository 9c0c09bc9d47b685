//! The subject that a key finds in a request, for programs.

use axum::http::request::Parts;

use super::check::with_limiter;
use crate::key::{KeyError, KeyOptions, OnMissingKey};
use crate::{Key, Limiter, Subject};

impl Key {
    /// Returns the subject under which a limit with this key counts the request: what
    /// [`Limiter::peek`], [`Limiter::reset`] and the others take.
    ///
    /// The settings are those of the request's limiter ([`Limiter::layer`]), or else of the scoped or
    /// the global one: trusted proxies, the prefix of IPv6 addresses, the pepper of hashes, and
    /// [`OnMissingKey::Shared`].
    ///
    /// ```
    /// use axum::extract::Request;
    /// use axum::http::request::Parts;
    /// use tollgate::http::KeyError;
    /// use tollgate::{Key, Policy, Quota, get_limiter};
    ///
    /// const SEARCH: Policy = Policy::new("search", Quota::per_minute(10));
    ///
    /// /// Forgives the client of this request all earlier ones.
    /// async fn forgive(parts: &Parts) -> Result<(), KeyError> {
    ///     let subject = Key::header("x-api-key").subject(parts).await?;
    ///     let _ = get_limiter().reset(&SEARCH, subject).await;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the request lacks the key, or contains it in a form that cannot be used. A limit refuses
    /// such a request by default, and with [`OnMissingKey::Exempt`] does not count it.
    pub async fn subject(&self, parts: &Parts) -> Result<Subject, KeyError> {
        let limiter = with_limiter(parts, Limiter::clone);
        let http = limiter.http();
        let on_missing = match http.on_missing_key {
            // A request that is not counted has no subject, but a reason.
            OnMissingKey::Exempt => OnMissingKey::Reject,
            mode => mode,
        };
        let (address, hash) = (&http.address, limiter.subject_hash());
        let options = KeyOptions { address, hash, on_missing };
        let now = self.is_immediate().then(|| self.subject_now(parts, options)).flatten();
        let found = match now {
            Some(found) => found,
            // An extractor may change the request, but this one is only read.
            None => self.resolve(&mut parts.clone(), options).await,
        };
        found?.ok_or(KeyError::NoSubject)
    }
}
