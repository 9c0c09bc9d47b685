//! The key: whose requests are counted. Its value for one request is the [`Subject`].

mod address;
mod error;
mod extractor;
mod forwarded;
mod part;

use std::fmt::{self, Display};
use std::sync::Arc;

use axum::http::request::Parts;
use smallvec::{SmallVec, smallvec};

pub use self::error::KeyError;
use self::extractor::AnyExtractor;
pub(crate) use self::extractor::Found;
pub use self::extractor::{KeyExtractor, seek};
pub use self::part::{Part, extension};
use crate::http::{HttpOptions, OnMissingKey};
use crate::subject::{IntoSubject, Subject};

/// Whose requests a limit counts. The attribute writes it `key = …`; a
/// [`RateLimitLayer`](crate::RateLimitLayer) is given one of these.
///
/// ```
/// use tollgate::Key;
///
/// let tenant = Key::function(|parts| {
///     let host = parts.headers.get("host")?.to_str().ok()?;
///     host.split_once('.').map(|(tenant, _)| tenant.to_owned())
/// });
/// let key = Key::all([Key::ip(), tenant]);
/// ```
#[derive(Clone)]
pub struct Key(Kind);

#[derive(Clone)]
enum Kind {
    /// What a static can hold: the attribute's keys.
    Part(Part),
    Parts(&'static [Part]),
    Extractor(Arc<dyn AnyExtractor>),
    All(Arc<[Key]>),
}

impl Key {
    /// The client's address.
    #[must_use]
    pub const fn ip() -> Self {
        Self::part(Part::Ip)
    }

    /// Everybody's together.
    #[must_use]
    pub const fn global() -> Self {
        Self::part(Part::Global)
    }

    /// The value of this request header, hashed.
    #[must_use]
    pub const fn header(name: &'static str) -> Self {
        Self::part(Part::Header(name))
    }

    /// The value of this cookie, hashed.
    #[must_use]
    pub const fn cookie(name: &'static str) -> Self {
        Self::part(Part::Cookie(name))
    }

    /// The part of the path that the route calls by this name. A layer knows it if it is on the
    /// route: [`Router::route_layer`](axum::Router::route_layer).
    #[must_use]
    pub const fn path_param(name: &'static str) -> Self {
        Self::part(Part::PathParam(name))
    }

    /// The first value of this name in the query string.
    #[must_use]
    pub const fn query(name: &'static str) -> Self {
        Self::part(Part::Query(name))
    }

    /// An extension of the request, which a layer in front has put there.
    #[must_use]
    pub const fn extension<T: Display + Send + Sync + 'static>() -> Self {
        Self::part(Part::Function(extension::<T>))
    }

    /// What `function` makes of the request.
    #[must_use]
    pub fn function<R: IntoSubject>(
        function: impl Fn(&Parts) -> R + Send + Sync + 'static,
    ) -> Self {
        let function = move |parts: &Parts| function(parts).into_subject();
        Self(Kind::Extractor(Arc::new(extractor::Function(function))))
    }

    /// What `extractor` makes of the request, be it that it has to wait for it.
    #[must_use]
    pub fn extractor(extractor: impl KeyExtractor) -> Self {
        Self(Kind::Extractor(Arc::new(extractor::Waiting(extractor))))
    }

    /// All of these together.
    #[must_use]
    pub fn all(keys: impl IntoIterator<Item = Self>) -> Self {
        Self(Kind::All(keys.into_iter().collect()))
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn part(part: Part) -> Self {
        Self(Kind::Part(part))
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn parts(parts: &'static [Part]) -> Self {
        Self(Kind::Parts(parts))
    }

    /// Whether finding out who is asking may take waiting.
    pub(crate) fn waits(&self) -> bool {
        self.leaves().into_iter().any(Leaf::waits)
    }

    /// Whether it is known beforehand that finding out takes no waiting: not of the attribute's
    /// functions, which are not called in vain.
    pub(crate) fn is_immediate(&self) -> bool {
        let is_immediate = |part: &Part| !matches!(part, Part::Function(_) | Part::PathParam(_));
        match &self.0 {
            Kind::Part(part) => is_immediate(part),
            Kind::Parts(parts) => parts.iter().all(is_immediate),
            Kind::Extractor(_) | Kind::All(_) => !self.waits(),
        }
    }

    /// Who is asking, if that can be told without waiting.
    pub(crate) fn subject_now(&self, parts: &Parts, how: How<'_>) -> Option<Asking> {
        let now = |leaf: Leaf<'_>| Some(how.settle(leaf.seek(parts, how.options).now()?));
        if let Kind::Part(part) = &self.0 {
            return now(Leaf::Part(part));
        }
        let mut subjects = Subjects::new();
        for leaf in self.leaves() {
            match now(leaf)? {
                Ok(Some(subject)) => subjects.push(subject),
                other => return Some(other),
            }
        }
        Some(Ok(Some(joined(subjects))))
    }

    /// As [`subject_now`](Self::subject_now), handed on to `ask`. Most limits count by the address,
    /// whose text then stays where it is written: it costs more to pass on than to write.
    #[inline]
    pub(crate) fn with_subject_now<T>(
        &self,
        parts: &Parts,
        how: How<'_>,
        ask: impl FnOnce(Result<Option<&str>, KeyError>) -> T,
    ) -> Option<T> {
        if let Kind::Part(Part::Ip) = &self.0 {
            let text = address::text(parts, how.options);
            let text = text.as_ref().ok_or(KeyError::NoConnectInfo);
            return Some(ask(text.map(|text| Some(text.as_str()))));
        }
        Some(ask(match &self.subject_now(parts, how)? {
            Ok(subject) => Ok(subject.as_ref().map(Subject::as_str)),
            Err(error) => Err(*error),
        }))
    }

    /// Who is asking.
    pub(crate) async fn subject(&self, parts: &mut Parts, how: How<'_>) -> Asking {
        if let Kind::Part(part) = &self.0 {
            return how.settle(Leaf::Part(part).find(parts, how.options).await);
        }
        let mut subjects = Subjects::new();
        for leaf in self.leaves() {
            match how.settle(leaf.find(parts, how.options).await) {
                Ok(Some(subject)) => subjects.push(subject),
                other => return other,
            }
        }
        Ok(Some(joined(subjects)))
    }

    fn leaves(&self) -> SmallVec<[Leaf<'_>; 4]> {
        match &self.0 {
            Kind::Part(part) => smallvec![Leaf::Part(part)],
            Kind::Parts(parts) => parts.iter().map(Leaf::Part).collect(),
            Kind::Extractor(extractor) => smallvec![Leaf::Extractor(&**extractor)],
            Kind::All(keys) => keys.iter().flat_map(Self::leaves).collect(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Part(part) => part.fmt(f),
            Kind::Parts(parts) => parts.fmt(f),
            Kind::Extractor(_) => f.write_str("Extractor"),
            Kind::All(keys) => keys.fmt(f),
        }
    }
}

type Subjects = SmallVec<[Subject; 4]>;

/// The subject, or nobody's: the request is not counted.
pub(crate) type Asking = Result<Option<Subject>, KeyError>;

/// A key alone is its subject; several are joined.
fn joined(mut subjects: Subjects) -> Subject {
    match subjects.len() {
        1 => subjects.remove(0),
        _ => {
            let parts: SmallVec<[&dyn Display; 4]> =
                subjects.iter().map(|subject| subject as _).collect();
            Subject::of(&parts)
        }
    }
}

/// How to find a subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How<'a> {
    pub(crate) options: &'a HttpOptions,
    pub(crate) on_missing: OnMissingKey,
}

impl How<'_> {
    /// What becomes of a request that lacks its key. That the server was not told who connects
    /// is never a request's own lack.
    fn settle(self, found: Result<Subject, KeyError>) -> Asking {
        match (found, self.on_missing) {
            (Ok(subject), _) => Ok(Some(subject)),
            (Err(error @ KeyError::NoConnectInfo), _) | (Err(error), OnMissingKey::Reject) => {
                Err(error)
            }
            (Err(_), OnMissingKey::Shared) => Ok(Some(Subject::missing())),
            (Err(_), OnMissingKey::Exempt) => Ok(None),
        }
    }
}

/// A key that is not made of others.
#[derive(Clone, Copy)]
enum Leaf<'a> {
    Part(&'a Part),
    Extractor(&'a dyn AnyExtractor),
}

impl Leaf<'_> {
    fn waits(self) -> bool {
        match self {
            Self::Part(part) => matches!(part, Part::PathParam(_)),
            Self::Extractor(extractor) => extractor.waits(),
        }
    }

    fn seek<'a>(&'a self, parts: &'a Parts, options: &HttpOptions) -> Found<'a> {
        match self {
            Self::Part(part) => part.seek(parts, options),
            Self::Extractor(extractor) => extractor.seek(parts),
        }
    }

    async fn find(self, parts: &mut Parts, options: &HttpOptions) -> Result<Subject, KeyError> {
        if let Self::Part(Part::PathParam(name)) = self {
            return part::path_param(name, parts).await;
        }
        match self.seek(parts, options) {
            Found::Now(found) => found,
            Found::Later(found) => found.await,
        }
    }
}

#[cfg(test)]
mod tests;
