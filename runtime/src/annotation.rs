//! The settings that limits of handlers and limits of plain functions have in common.

use std::time::Duration;

use crate::callback::{Callback, set_plain};
use crate::registry::{Naming, RegisteredPolicy};
use crate::site::Site;
use crate::{Algorithm, Ban, Blocked, InFlight, OnError, Policy, Quota};

type BlockedCallback = Callback<fn(&Blocked<'_>), dyn Fn(&Blocked<'_>) + Send + Sync>;

/// A policy of an annotated function, with its `on_blocked` function. The attribute macro creates
/// it in a static.
#[derive(Clone, Debug)]
pub struct Limit {
    registered: RegisteredPolicy,
    on_blocked: Option<BlockedCallback>,
}

impl Limit {
    /// Creates the limit of the policy `name`, which clients see as `label`. `quotas` contains at most
    /// [`Policy::MAX_QUOTAS`] quotas.
    ///
    /// A single call sets all of these, because each call in the generated code takes time to
    /// compile for every annotation.
    #[must_use]
    pub const fn new(
        name: &'static str,
        label: &'static str,
        naming: Naming,
        quotas: &[Quota],
        site: Site,
    ) -> Self {
        let mut policy = Policy::without_limits(name).labelled(label);
        let mut index = 0;
        while index < quotas.len() {
            policy = policy.and(quotas[index]);
            index += 1;
        }
        Self { registered: RegisteredPolicy::new(policy, naming, site), on_blocked: None }
    }

    /// Sets the algorithm. The default is the sliding window.
    #[must_use]
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.registered.policy_mut().set_algorithm(algorithm);
        self
    }

    /// Sets the handling of requests while the backend cannot answer. The default is the limiter's
    /// setting.
    #[must_use]
    pub const fn on_error(mut self, mode: OnError) -> Self {
        self.registered.policy_mut().set_on_error(mode);
        self
    }

    /// Sets the rule for bans. Without `most`, the longest ban is the default of [`Ban`]. A number that
    /// is not valid is ignored, because an assertion reports it.
    #[must_use]
    pub const fn ban(
        mut self,
        after: u32,
        duration: Duration,
        grow: u32,
        most: Option<Duration>,
    ) -> Self {
        if let Ok(mut ban) = Ban::try_new(after, duration) {
            let _ = ban.set_grow(grow);
            if let Some(most) = most {
                let _ = ban.set_most(most);
            }
            self.registered.policy_mut().set_ban(Some(ban));
        }
        self
    }

    /// Limits the requests in flight. Without `hold`, permits are held as long as the default of
    /// [`InFlight`] says. A number that is not valid is ignored, because an assertion reports it.
    #[must_use]
    pub const fn in_flight(mut self, limit: u32, hold: Option<Duration>) -> Self {
        if let Ok(mut in_flight) = InFlight::try_new(limit) {
            if let Some(hold) = hold {
                let _ = in_flight.set_hold(hold);
            }
            self.registered.policy_mut().set_in_flight(Some(in_flight));
        }
        self
    }

    /// Switches to shadow mode: the limit decides and reports, but never refuses.
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

    /// Creates the limit of a layer. A layer has no annotation, so its policy is not registered.
    #[cfg(feature = "axum")]
    pub(crate) fn of_layer(policy: Policy) -> Self {
        let site = Site::of::<Self>("", "", 0, "", false);
        Self { registered: RegisteredPolicy::new(policy, Naming::Name, site), on_blocked: None }
    }

    /// Sets a closure that is called on every refusal.
    #[cfg(feature = "axum")]
    pub(crate) fn set_on_blocked(
        &mut self,
        function: std::sync::Arc<dyn Fn(&Blocked<'_>) + Send + Sync>,
    ) {
        self.on_blocked = Some(Callback::Shared(function));
    }

    /// Marks the limit as one whose charges are settled at what requests came to.
    pub(crate) const fn set_settles(&mut self) {
        self.registered.policy_mut().set_settles();
    }

    /// Marks the limit as one whose charges may be refunded after the call.
    pub(crate) const fn set_refunds(&mut self) {
        self.registered.policy_mut().set_refunds();
    }

    #[cfg(feature = "axum")]
    pub(crate) const fn policy_mut(&mut self) -> &mut Policy {
        self.registered.policy_mut()
    }

    /// Returns the entry for the registry: the policy, and the place of its annotation in the
    /// source.
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
