//! What every annotation says, on a handler or on a function.

use crate::callback::{Callback, set_plain};
use crate::registry::RegisteredPolicy;
use crate::{Algorithm, Blocked, Decision, Limiter, OnError, Policy, Quota};

/// One policy of an annotated function, in a static beside it.
#[derive(Clone, Debug)]
pub struct Limit {
    registered: RegisteredPolicy,
    on_blocked: Option<Callback<fn(&Blocked<'_>), dyn Fn(&Blocked<'_>) + Send + Sync>>,
}

impl Limit {
    /// A limit that refuses and tells nobody: of the policy `name`, known to clients as `label`,
    /// whether the annotation `named` it or not; with at least one quota, and no more than
    /// a policy holds.
    ///
    /// All in one call, as what is called here is compiled for each annotation.
    #[must_use]
    pub const fn new(
        name: &'static str,
        label: &'static str,
        named: bool,
        quotas: &[Quota],
        file: &'static str,
        line: u32,
    ) -> Self {
        let mut policy = Policy::new(name, quotas[0]).labelled(label);
        let mut index = 1;
        while index < quotas.len() {
            policy = policy.and(quotas[index]);
            index += 1;
        }
        Self { registered: RegisteredPolicy::new(policy, named, file, line), on_blocked: None }
    }

    /// Counts by `algorithm`.
    #[must_use]
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.registered.policy_mut().set_algorithm(algorithm);
        self
    }

    /// What happens while the backend cannot answer.
    #[must_use]
    pub const fn on_error(mut self, mode: OnError) -> Self {
        self.registered.policy_mut().set_on_error(mode);
        self
    }

    /// Makes it decide and report, but never refuse.
    #[must_use]
    pub const fn shadow(mut self) -> Self {
        self.registered.policy_mut().set_shadow(true);
        self
    }

    /// Calls `function` on every refusal.
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

    /// Calls a closure on every refusal.
    #[cfg(feature = "axum")]
    pub(crate) fn set_on_blocked(
        &mut self,
        function: std::sync::Arc<dyn Fn(&Blocked<'_>) + Send + Sync>,
    ) {
        self.on_blocked = Some(Callback::Shared(function));
    }

    /// Marks the policy as one whose charges may be refunded after the call.
    pub(crate) const fn set_refunds(&mut self) {
        self.registered.policy_mut().set_refunds();
    }

    #[cfg(feature = "axum")]
    pub(crate) const fn policy_mut(&mut self) -> &mut Policy {
        self.registered.policy_mut()
    }

    /// What goes into the registry.
    pub const fn registered(&self) -> &RegisteredPolicy {
        &self.registered
    }

    pub(crate) const fn policy(&self) -> &Policy {
        self.registered.policy()
    }

    /// Whether a call may go on, all told, by the policy as it is kept now; if it was refused, who
    /// wants to know is told.
    pub(crate) fn lets_through(
        &self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &str,
        decision: &Decision,
    ) -> bool {
        if decision.is_allowed() {
            return true;
        }
        let blocked = Blocked::new(policy, subject, decision);
        self.tell(&blocked);
        limiter.tell_blocked(&blocked);
        policy.is_shadow()
    }

    /// Tells who wants to know of a refusal.
    pub(crate) fn tell(&self, blocked: &Blocked<'_>) {
        match &self.on_blocked {
            Some(Callback::Plain(function)) => function(blocked),
            Some(Callback::Shared(function)) => function(blocked),
            None => {}
        }
    }
}
