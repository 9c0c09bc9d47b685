//! The description of a backend.

/// The description of a backend: its name, and which other backends have the same charges.
///
/// ```
/// use tollgate::backend::BackendInfo;
///
/// let info = BackendInfo::new("orders-db").identity("db1:5432 orders");
/// # let _ = info;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendInfo {
    pub(super) name: &'static str,
    pub(super) identity: Option<String>,
    pub(super) calendars: bool,
}

impl BackendInfo {
    /// Describes a backend by its name, as used for the labels of metrics. No other backend has its
    /// charges: limiters share it by an [`Arc`](std::sync::Arc).
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, identity: None, calendars: false }
    }

    /// Sets a text that all backends of this type with the same charges have, and no others: such as
    /// the address of a server, with the prefix of its keys. A decision is refunded only by a limiter
    /// whose store has its charge.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Says that the backend counts by [calendars](crate::Quota::calendar), such as one that asks a
    /// [`MemoryBackend`](crate::MemoryBackend) or a Redis. A limiter does not apply policies with such
    /// quotas with any other backend.
    #[cfg(feature = "calendar")]
    #[must_use]
    pub fn calendars(mut self) -> Self {
        self.calendars = true;
        self
    }
}

impl Default for BackendInfo {
    /// Describes a backend that says nothing about itself: its name is `custom`.
    fn default() -> Self {
        Self::new("custom")
    }
}
