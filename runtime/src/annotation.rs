//! What every annotation says, on a handler or on a function.

use crate::registry::RegisteredPolicy;
use crate::{Blocked, Decision, Limiter, Policy};

/// One policy of an annotated function, in a static beside it.
#[derive(Debug)]
pub struct Limit {
    registered: RegisteredPolicy,
    on_blocked: Option<fn(&Blocked<'_>)>,
}

impl Limit {
    /// A limit that refuses and tells nobody.
    #[must_use]
    pub const fn new(registered: RegisteredPolicy) -> Self {
        Self { registered, on_blocked: None }
    }

    /// Makes it decide and report, but never refuse.
    #[must_use]
    pub const fn shadow(mut self) -> Self {
        self.registered.set_shadow();
        self
    }

    /// Calls `function` on every refusal.
    #[must_use]
    pub const fn on_blocked(mut self, function: fn(&Blocked<'_>)) -> Self {
        self.on_blocked = Some(function);
        self
    }

    /// Says that what it charges may be given back after the call.
    pub(crate) const fn set_refunds(&mut self) {
        self.registered.set_refunds();
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
        if let Some(function) = self.on_blocked {
            function(blocked);
        }
    }
}
