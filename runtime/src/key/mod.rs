//! Keys: they decide under which [`Subject`] a request is counted.

mod address;
mod address_text;
mod error;
mod extractor;
mod forwarded;
mod network;
mod options;
mod part;
mod request_values;
mod silent_proxies;

use std::fmt::{self, Display};
use std::sync::Arc;

use axum::http::request::Parts;
use smallvec::{SmallVec, smallvec};

pub(crate) use self::address::{client_address, subject_of};
pub use self::error::KeyError;
pub(crate) use self::extractor::Resolved;
use self::extractor::{AnyExtractor, AsyncExtractor, KeyFunction};
pub use self::extractor::{KeyExtractor, resolve};
pub(crate) use self::network::Nat64Prefix;
pub use self::network::Network;
pub(crate) use self::options::{
    AddressOptions, ClientHeader, KeyOptions, PeerFunction, SubjectResult,
};
pub use self::options::{ForwardedHeader, OnMissingKey};
pub use self::part::{KeyPart, extension};
pub(crate) use self::request_values::{canonical_cookie, canonical_header};
use crate::subject::{IntoSubject, Subject};

/// The property of a request by which a limit counts. Each value of the property has its own quota.
///
/// The attribute has the argument `key = …` for this. For a
/// [`RateLimitLayer`](crate::RateLimitLayer), pass a value of this type.
///
/// ```
/// use tollgate::Key;
///
/// /// The tenant of the user whom the login layer has found. What a client can choose freely, such
/// /// as `Host`, would give it a new budget each time.
/// #[derive(Clone)]
/// struct Tenant(String);
///
/// let tenant = Key::function(|parts| Some(parts.extensions.get::<Tenant>()?.0.clone()));
/// let key = Key::all([Key::ip(), tenant]);
/// ```
#[derive(Clone)]
pub struct Key(KeyRepr);

#[derive(Clone)]
enum KeyRepr {
    /// A built-in key or a function. A static can contain it, so the attribute generates it.
    Part(KeyPart),
    /// A tuple of [`KeyPart`]s.
    Parts(&'static [KeyPart]),
    Extractor(Arc<dyn AnyExtractor>),
    All(Arc<[Key]>),
}

impl Key {
    /// Counts by the client's address.
    #[must_use]
    pub const fn ip() -> Self {
        Self::from_part(KeyPart::Ip)
    }

    /// Counts all requests together.
    #[must_use]
    pub const fn global() -> Self {
        Self::from_part(KeyPart::Global)
    }

    /// Counts by the hash of the value of this request header.
    #[must_use]
    pub const fn header(name: &'static str) -> Self {
        Self::from_part(KeyPart::Header(name))
    }

    /// Counts by the hash of the value of this cookie.
    #[must_use]
    pub const fn cookie(name: &'static str) -> Self {
        Self::from_part(KeyPart::Cookie(name))
    }

    /// Counts by the path parameter of this name. A layer sees path parameters only if it is
    /// on the route: [`Router::route_layer`](axum::Router::route_layer).
    #[must_use]
    pub const fn path_param(name: &'static str) -> Self {
        Self::from_part(KeyPart::PathParam(name))
    }

    /// Counts by the query parameter of this name.
    #[must_use]
    pub const fn query(name: &'static str) -> Self {
        Self::from_part(KeyPart::Query(name))
    }

    /// Counts by the value of a request extension of type `T`. A layer in front must have inserted
    /// it.
    #[must_use]
    pub const fn extension<T: Display + Send + Sync + 'static>() -> Self {
        Self::from_part(KeyPart::Function(extension::<T>))
    }

    /// Counts by the result of `function`.
    #[must_use]
    pub fn function<R: IntoSubject>(
        function: impl Fn(&Parts) -> R + Send + Sync + 'static,
    ) -> Self {
        let function = move |parts: &Parts| function(parts).into_subject();
        Self(KeyRepr::Extractor(Arc::new(KeyFunction(function))))
    }

    /// Counts by the subject that `extractor` returns. The extractor may be async.
    #[must_use]
    pub fn extractor(extractor: impl KeyExtractor) -> Self {
        Self(KeyRepr::Extractor(Arc::new(AsyncExtractor(extractor))))
    }

    /// Counts by the combination of these keys.
    #[must_use]
    pub fn all(keys: impl IntoIterator<Item = Self>) -> Self {
        Self(KeyRepr::All(keys.into_iter().collect()))
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn from_part(part: KeyPart) -> Self {
        Self(KeyRepr::Part(part))
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn from_parts(parts: &'static [KeyPart]) -> Self {
        Self(KeyRepr::Parts(parts))
    }

    /// Returns `true` if the subject certainly has to be awaited. Returns `false` for functions of
    /// the attribute, because only a call shows if they are async.
    pub(crate) fn is_async(&self) -> bool {
        self.leaves().into_iter().any(Leaf::is_async)
    }

    /// Returns `true` if the subject certainly need not be awaited. Returns `false` for functions
    /// of the attribute: only a call shows if they are async, and they must not be called twice.
    pub(crate) fn is_immediate(&self) -> bool {
        let is_immediate =
            |part: &KeyPart| !matches!(part, KeyPart::Function(_) | KeyPart::PathParam(_));
        match &self.0 {
            KeyRepr::Part(part) => is_immediate(part),
            KeyRepr::Parts(parts) => parts.iter().all(is_immediate),
            KeyRepr::Extractor(_) | KeyRepr::All(_) => !self.is_async(),
        }
    }

    /// Returns the subject, or `None` if it has to be awaited.
    pub(crate) fn subject_now(
        &self,
        parts: &Parts,
        options: KeyOptions<'_>,
    ) -> Option<SubjectResult> {
        let now = |leaf: Leaf<'_>| Some(options.or_missing(leaf.resolve(parts, options).now()?));
        if let KeyRepr::Part(part) = &self.0 {
            return now(Leaf::Part(part));
        }
        let mut subjects = Subjects::default();
        for leaf in self.leaves() {
            if let Err(error) = subjects.add(now(leaf)?) {
                return Some(Err(error));
            }
        }
        Some(Ok(subjects.join()))
    }

    /// Passes the result of [`subject_now`](Self::subject_now) to `function`, or returns `None` if
    /// the subject has to be awaited. Most limits count by the client's address. Its text then
    /// stays on the stack where it was formatted, because copying it costs more than formatting it.
    #[inline]
    pub(crate) fn with_subject_now<T>(
        &self,
        parts: &Parts,
        options: KeyOptions<'_>,
        function: impl FnOnce(Result<Option<&str>, KeyError>) -> T,
    ) -> Option<T> {
        if let KeyRepr::Part(KeyPart::Ip) = &self.0 {
            let text = address::text(parts, options.address);
            let text = text.as_ref().ok_or(KeyError::NoConnectInfo);
            return Some(function(text.map(|text| Some(text.as_str()))));
        }
        Some(function(match &self.subject_now(parts, options)? {
            Ok(subject) => Ok(subject.as_ref().map(Subject::as_str)),
            Err(error) => Err(*error),
        }))
    }

    /// Returns the subject, and waits for it where necessary.
    pub(crate) async fn resolve(
        &self,
        parts: &mut Parts,
        options: KeyOptions<'_>,
    ) -> SubjectResult {
        if let KeyRepr::Part(part) = &self.0 {
            return options.or_missing(Leaf::Part(part).subject(parts, options).await);
        }
        let mut subjects = Subjects::default();
        for leaf in self.leaves() {
            subjects.add(options.or_missing(leaf.subject(parts, options).await))?;
        }
        Ok(subjects.join())
    }

    fn leaves(&self) -> SmallVec<[Leaf<'_>; 4]> {
        match &self.0 {
            KeyRepr::Part(part) => smallvec![Leaf::Part(part)],
            KeyRepr::Parts(parts) => parts.iter().map(Leaf::Part).collect(),
            KeyRepr::Extractor(extractor) => smallvec![Leaf::Extractor(&**extractor)],
            KeyRepr::All(keys) => keys.iter().flat_map(Self::leaves).collect(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            KeyRepr::Part(part) => part.fmt(f),
            KeyRepr::Parts(parts) => parts.fmt(f),
            KeyRepr::Extractor(_) => f.write_str("Extractor"),
            KeyRepr::All(keys) => keys.fmt(f),
        }
    }
}

/// The subjects of the parts of a tuple of keys.
#[derive(Default)]
struct Subjects {
    found: SmallVec<[Subject; 4]>,
    /// `true` if the request lacks a part, and is exempt because of that.
    is_exempt: bool,
}

impl Subjects {
    /// Adds the result of one part. A request that is exempt because of one part is still refused
    /// because of an error in another, so all parts have to be added.
    fn add(&mut self, subject: SubjectResult) -> Result<(), KeyError> {
        match subject? {
            Some(subject) => self.found.push(subject),
            None => self.is_exempt = true,
        }
        Ok(())
    }

    /// Joins the subjects into one, or returns `None` if the request is exempt. A single subject is
    /// returned unchanged.
    fn join(self) -> Option<Subject> {
        (!self.is_exempt).then(|| Subject::joined(&self.found))
    }
}

/// A key that is not composed of others.
#[derive(Clone, Copy)]
enum Leaf<'a> {
    Part(&'a KeyPart),
    Extractor(&'a dyn AnyExtractor),
}

impl Leaf<'_> {
    fn is_async(self) -> bool {
        match self {
            Self::Part(part) => matches!(part, KeyPart::PathParam(_)),
            Self::Extractor(extractor) => extractor.is_async(),
        }
    }

    fn resolve<'a>(&'a self, parts: &'a Parts, options: KeyOptions<'_>) -> Resolved<'a> {
        match self {
            Self::Part(part) => part.resolve(parts, options),
            Self::Extractor(extractor) => extractor.resolve(parts),
        }
    }

    async fn subject(
        self,
        parts: &mut Parts,
        options: KeyOptions<'_>,
    ) -> Result<Subject, KeyError> {
        if let Self::Part(KeyPart::PathParam(name)) = self {
            return part::path_param(name, parts).await;
        }
        match self.resolve(parts, options) {
            Resolved::Now(subject) => subject,
            Resolved::Later(subject) => subject.await,
        }
    }
}

#[cfg(test)]
mod tests;
