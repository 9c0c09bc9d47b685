//! Subjects that a program names, in place of the request that a key would find them in. Their text
//! depends on settings of the limiter that is asked, so it is made there.

use std::borrow::Cow;
use std::fmt::{self, Display};
#[cfg(feature = "axum")]
use std::net::IpAddr;

use smallvec::SmallVec;
use smol_str::SmolStr;

#[cfg(feature = "axum")]
use crate::key::{AddressOptions, canonical_cookie, canonical_header, subject_of};
use crate::subject::Subject;
use crate::subject_hash::SubjectHash;

/// The subject of an address, a credential or another value, named by the program:
/// [`Subject::ip`], [`Subject::header`] and the others. The methods of a
/// [`Limiter`](crate::Limiter) take it, and [`PerSubject::with`](crate::PerSubject::with).
///
/// It is what the key of the same name finds in a request, by the settings of the limiter that is
/// asked: the prefix of IPv6 addresses, translated IPv4 addresses, the
/// [pepper](crate::LimiterBuilder::pepper) of hashes, and if
/// [all subjects are hashed](crate::LimiterBuilder::hash_subjects).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::net::IpAddr;
/// use tollgate::{Limiter, MemoryBackend, Policy, Quota, Subject};
///
/// const LOGIN: Policy = Policy::new("login", Quota::per_hour(5));
///
/// let limiter = Limiter::new(MemoryBackend::new());
/// // Support lets somebody try again, whose requests count by `key = (query("user"), ip)`.
/// let address: IpAddr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
/// let subject = Subject::all([Subject::query("user", "ann"), Subject::ip(address)]);
/// assert_eq!(limiter.subject_text(&subject), "ann|2001:db8:1:2/64");
/// limiter.reset(&LOGIN, subject).await?;
/// # Ok::<_, tollgate::Unavailable>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct NamedSubject(Meaning);

#[derive(Clone)]
enum Meaning {
    /// A subject that is the same for all limiters.
    Known(Subject),
    /// The final text of a subject.
    Counted(SmolStr),
    /// The subjects of the values in `args(…)`.
    Args(SmallVec<[Subject; 1]>),
    /// An address.
    #[cfg(feature = "axum")]
    Ip(IpAddr),
    /// A credential, which is hashed.
    #[cfg(feature = "axum")]
    Secret(Box<[u8]>),
    /// The subjects of a tuple of keys.
    All(Vec<Meaning>),
}

/// Names the subjects of requests.
impl Subject {
    /// Names the subject of the key `ip` for a client with this address.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn ip(address: impl Into<IpAddr>) -> NamedSubject {
        NamedSubject(Meaning::Ip(address.into()))
    }

    /// Names the subject that all requests share if they count by the key `global`.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn global() -> NamedSubject {
        Self::everybody().into()
    }

    /// Names the subject of the key `header(name)` for requests with this value of the header. For
    /// `authorization` that is the scheme with the credentials, as in `Bearer …`.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn header(name: &str, value: impl AsRef<[u8]>) -> NamedSubject {
        NamedSubject(Meaning::Secret(canonical_header(name, value.as_ref()).into()))
    }

    /// Names the subject of the key `cookie(name)` for requests with this value of the cookie, as
    /// cookie jars return it: percent-decoded. `name` says to readers which cookie is meant.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn cookie(name: &str, value: &str) -> NamedSubject {
        let _ = name;
        NamedSubject(Meaning::Secret(canonical_cookie(value).into()))
    }

    /// Names the subject of the key `query(name)` for requests with this value of the parameter,
    /// decoded. `name` says to readers which parameter is meant.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn query(name: &str, value: &str) -> NamedSubject {
        let _ = name;
        Self::sent(value).into()
    }

    /// Names the subject of the key `path_param(name)` for requests with this value of the
    /// parameter, decoded. `name` says to readers which parameter is meant.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn path_param(name: &str, value: &str) -> NamedSubject {
        let _ = name;
        Self::sent(value).into()
    }

    /// Names the subject that requests without their key share
    /// ([`OnMissingKey::Shared`](crate::http::OnMissingKey::Shared)). In a tuple of keys it stands
    /// for the part that they lack.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn without_key() -> NamedSubject {
        Self::missing().into()
    }

    /// Names the subject of the key `args(…)` for calls with these values. Alone or in a tuple, they
    /// are written in the order of the attribute.
    #[must_use]
    pub fn args<T: Display>(values: impl IntoIterator<Item = T>) -> NamedSubject {
        NamedSubject(Meaning::Args(values.into_iter().map(|value| Self::of(&value)).collect()))
    }

    /// Names the subject of a tuple of keys by the subjects of its parts, in the same order. What a
    /// key function or an extension says is converted from text or from a [`Subject`].
    #[must_use]
    pub fn all<T: Into<NamedSubject>>(parts: impl IntoIterator<Item = T>) -> NamedSubject {
        NamedSubject(Meaning::All(parts.into_iter().map(|part| part.into().0).collect()))
    }

    /// Names a subject by the text under which it is counted: as
    /// [`Blocked::subject`](crate::Blocked::subject), a log, the dashboard or
    /// [`Limiter::subject_text`](crate::Limiter::subject_text) say it. It is not hashed, even if the
    /// limiter hashes all subjects, because it is the hash then. In a tuple it is a part like any
    /// other.
    #[must_use]
    pub fn counted(text: &str) -> NamedSubject {
        NamedSubject(Meaning::Counted(Self::bounded_text(text).into()))
    }
}

impl NamedSubject {
    /// Returns the subject by these rules, before all subjects are hashed.
    fn subject(&self, rules: &SubjectRules<'_>) -> Subject {
        let mut parts = SmallVec::new();
        self.0.add_to(&mut parts, rules);
        Subject::joined(&parts)
    }
}

impl Meaning {
    #[cfg_attr(
        not(feature = "axum"),
        expect(clippy::only_used_in_recursion, reason = "keys of requests need the rules")
    )]
    fn add_to(&self, parts: &mut SmallVec<[Subject; 4]>, rules: &SubjectRules<'_>) {
        let subject = match self {
            Self::All(all) => return all.iter().for_each(|one| one.add_to(parts, rules)),
            Self::Args(values) => return parts.extend(values.iter().cloned()),
            Self::Known(subject) => subject.clone(),
            Self::Counted(text) => Subject::known(text.clone()),
            #[cfg(feature = "axum")]
            Self::Ip(address) => {
                let address = rules.address.canonical(*address);
                subject_of(address, rules.address.ipv6_prefix)
            }
            #[cfg(feature = "axum")]
            Self::Secret(value) => rules.hash.secret(value),
        };
        parts.push(subject);
    }
}

impl From<Subject> for NamedSubject {
    fn from(subject: Subject) -> Self {
        Self(Meaning::Known(subject))
    }
}

impl From<&Subject> for NamedSubject {
    fn from(subject: &Subject) -> Self {
        subject.clone().into()
    }
}

/// Names the subject of a key function that returns this text.
impl From<&str> for NamedSubject {
    fn from(text: &str) -> Self {
        Subject::from(text).into()
    }
}

/// Names the subject of a key function that returns this text.
impl From<String> for NamedSubject {
    fn from(text: String) -> Self {
        Subject::from(text).into()
    }
}

/// Shows no values, because they may be credentials.
impl fmt::Debug for NamedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedSubject").finish_non_exhaustive()
    }
}

/// The settings of a limiter by which a subject has its text.
#[derive(Clone, Copy, Debug)]
pub struct SubjectRules<'a> {
    pub(crate) hash: &'a SubjectHash,
    #[cfg(feature = "axum")]
    pub(crate) address: &'a AddressOptions,
}

impl SubjectRules<'_> {
    #[inline]
    fn hide<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        match self.hash.hidden(&text) {
            Some(hidden) => Cow::Owned(hidden.as_str().to_owned()),
            None => text,
        }
    }
}

/// A value that the methods of a [`Limiter`](crate::Limiter) take as the subject: text, a
/// [`Subject`], or a [`NamedSubject`] such as `Subject::ip(address)`. No other type can implement it.
///
/// Text is counted as it is, or by its hash if it is long or not printable. If the limiter [hashes all
/// subjects](crate::LimiterBuilder::hash_subjects), each of these is named in clear, and hashed
/// once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no subject",
    label = "it does not say whose requests are counted",
    note = "pass text, a `Subject`, or a subject by name such as `Subject::ip(address)`"
)]
pub trait AsSubject {
    /// Returns the text under which the subject is counted.
    #[doc(hidden)]
    fn counted(&self, rules: &SubjectRules<'_>) -> Cow<'_, str>;
}

impl<S: AsRef<str> + ?Sized> AsSubject for &S {
    #[inline]
    fn counted(&self, rules: &SubjectRules<'_>) -> Cow<'_, str> {
        rules.hide(Subject::bounded_text((**self).as_ref()))
    }
}

impl AsSubject for Subject {
    fn counted(&self, rules: &SubjectRules<'_>) -> Cow<'_, str> {
        rules.hide(Cow::Borrowed(self.as_str()))
    }
}

impl AsSubject for &Subject {
    fn counted(&self, rules: &SubjectRules<'_>) -> Cow<'_, str> {
        rules.hide(Cow::Borrowed(self.as_str()))
    }
}

impl AsSubject for NamedSubject {
    fn counted(&self, rules: &SubjectRules<'_>) -> Cow<'_, str> {
        match &self.0 {
            Meaning::Counted(text) => Cow::Borrowed(text),
            _ => rules.hide(Cow::Owned(self.subject(rules).as_str().to_owned())),
        }
    }
}

impl AsSubject for &NamedSubject {
    fn counted(&self, rules: &SubjectRules<'_>) -> Cow<'_, str> {
        (**self).counted(rules)
    }
}
