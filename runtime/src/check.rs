//! The request to be judged.

/// One request to be judged: which policy, whose request, at what cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check<'a> {
    pub(crate) policy: &'a crate::Policy,
    pub(crate) subject: &'a str,
    #[allow(dead_code, reason = "the cost is part of the request even where nobody reads it")]
    pub(crate) cost: u32,
}
