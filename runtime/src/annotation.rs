//! What every annotation says, on a handler or on a function.

use crate::overrides::Current;
use crate::registry::RegisteredPolicy;
use crate::{Blocked, Decision, Policy};

/// One policy of an annotated function, in a static beside it.
#[derive(Debug)]
pub struct Limit {
    registered: RegisteredPolicy,
    shadow: bool,
    on_blocked: Option<fn(&Blocked<'_>)>,
}

impl Limit {
    /// A limit that refuses and tells nobody.
    #[must_use]
    pub const fn new(registered: RegisteredPolicy) -> Self {
        Self { registered, shadow: false, on_blocked: None }
    }

    /// Makes it decide and report, but never refuse.
    #[must_use]
    pub const fn shadow(mut self) -> Self {
        self.shadow = true;
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

    pub(crate) const fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Whether a call may go on, all told; if it was refused, who wants to know is told.
    pub(crate) fn lets_through(
        &self,
        policy: &Current<'_>,
        subject: &str,
        decision: &Decision,
    ) -> bool {
        if decision.is_allowed() {
            return true;
        }
        let shadow = policy.is_shadow(self.shadow);
        self.tell(&Blocked {
            policy,
            subject,
            decision,
            shadow,
            #[cfg(feature = "axum")]
            request: None,
        });
        if shadow {
            tracing::info!(policy = policy.name(), "a shadow limit would have refused");
        }
        shadow
    }

    /// Tells who wants to know of a refusal.
    pub(crate) fn tell(&self, blocked: &Blocked<'_>) {
        if let Some(function) = self.on_blocked {
            function(blocked);
        }
    }
}
