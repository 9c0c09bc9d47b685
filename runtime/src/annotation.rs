//! The settings that annotations of handlers and of functions have in common.

use crate::callback::{Callback, set_plain};
use crate::registry::RegisteredPolicy;
use crate::{Algorithm, Blocked, OnError, Policy, Quota};

type BlockedCallback = Callback<fn(&Blocked<'_>), dyn Fn(&Blocked<'_>) + Send + Sync>;

/// One policy of an annotated function, in a static that the macro generates.
#[derive(Clone, Debug)]
pub struct Limit {
    registered: RegisteredPolicy,
    on_blocked: Option<BlockedCallback>,
}

impl Limit {
    /// Creates a limit by the policy `name`, which clients see as `label`. `named` is `true` if the
    /// annotation gives the name, rather than the function's path. There must be at least one
    /// quota, and at most as many as a policy may have. The annotation is in `file`, at `line`.
    ///
    /// All of it is set in a single call, because each call takes time to compile for every
    /// annotation.
    #[must_use]
    pub const fn new(
        name: &'static str,
        label: &'static str,
        named: bool,
        quotas: &[Quota],
        (file, line): (&'static str, u32),
    ) -> Self {
        let mut policy = Policy::new(name, quotas[0]).labelled(label);
        let mut index = 1;
        while index < quotas.len() {
            policy = policy.and(quotas[index]);
            index += 1;
        }
        Self { registered: RegisteredPolicy::new(policy, named, file, line), on_blocked: None }
    }

    /// Sets the algorithm; the sliding window by default.
    #[must_use]
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.registered.policy_mut().set_algorithm(algorithm);
        self
    }

    /// Sets the handling of requests while the backend cannot answer; the limiter's by default.
    #[must_use]
    pub const fn on_error(mut self, mode: OnError) -> Self {
        self.registered.policy_mut().set_on_error(mode);
        self
    }

    /// Makes the limit decide and report, but never refuse.
    #[must_use]
    pub const fn shadow(mut self) -> Self {
        self.registered.policy_mut().set_shadow(true);
        self
    }

    /// Sets a function that is called on every refusal. By default there is none.
    #[must_use]
    pub const fn on_blocked(mut self, function: fn(&Blocked<'_>)) -> Self {
        set_plain(&mut self.on_blocked, function);
        self
    }

    /// Wraps the policy of a layer, which has no annotation and is not registered.
    #[cfg(feature = "axum")]
    pub(crate) fn of_layer(policy: Policy) -> Self {
        Self { registered: RegisteredPolicy::new(policy, true, "", 0), on_blocked: None }
    }

    /// Sets a closure that is called on every refusal.
    #[cfg(feature = "axum")]
    pub(crate) fn set_on_blocked(
        &mut self,
        function: std::sync::Arc<dyn Fn(&Blocked<'_>) + Send + Sync>,
    ) {
        self.on_blocked = Some(Callback::Shared(function));
    }

    /// Marks the limit as one whose charges may be refunded after the call.
    pub(crate) const fn set_refunds(&mut self) {
        self.registered.policy_mut().set_refunds();
    }

    #[cfg(feature = "axum")]
    pub(crate) const fn policy_mut(&mut self) -> &mut Policy {
        self.registered.policy_mut()
    }

    /// Returns the entry for the registry: the policy, and the place of its annotation.
    pub const fn registered(&self) -> &RegisteredPolicy {
        &self.registered
    }

    pub(crate) const fn policy(&self) -> &Policy {
        self.registered.policy()
    }

    /// Calls the limit's own `on_blocked` function, if it has one.
    pub(crate) fn notify(&self, blocked: &Blocked<'_>) {
        match &self.on_blocked {
            Some(Callback::Plain(function)) => function(blocked),
            Some(Callback::Shared(function)) => function(blocked),
            None => {}
        }
    }
}
