//! The types of problems: those of draft-ietf-httpapi-ratelimit-headers-11 §5, and others.

pub(crate) const QUOTA_EXCEEDED: &str =
    "https://iana.org/assignments/http-problem-types#quota-exceeded";
pub(crate) const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
/// The type of the problem that a client is blocked, which no registry of problem types has. It is an
/// identifier and leads nowhere.
pub(crate) const BLOCKED: &str = "urn:problem-type:tollgate:blocked";
/// The type of a problem whose meaning is that of its status code (RFC 9457 §4.2.1).
pub(crate) const BLANK: &str = "about:blank";
