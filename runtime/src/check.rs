//! One request to be judged: the value that travels from the doors to the stores.

use crate::Policy;

/// One request to be judged: by which policy, whose request it is, and how much it costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check<'a> {
    /// The policy whose quotas apply; its name is part of the key.
    pub policy: &'a Policy,
    /// The subject whose requests are counted: the other part of the key.
    pub subject: &'a str,
    /// The units that the request takes of every quota; with 0 it takes nothing.
    pub cost: u32,
}

impl<'a> Check<'a> {
    /// Creates a check of a request of `subject` that takes `cost`.
    #[inline]
    pub(crate) const fn new(policy: &'a Policy, subject: &'a str, cost: u32) -> Self {
        Self { policy, subject, cost }
    }
}
