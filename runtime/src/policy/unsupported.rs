//! The reason why a policy cannot be applied.

/// The setting of a policy that cannot be applied, and the reason, with the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported {
    pub(crate) setting: &'static str,
    pub(crate) reason: &'static str,
}
