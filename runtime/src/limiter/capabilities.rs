//! The check, at start, that the store supports what the known policies need.

use std::sync::atomic::Ordering;

use super::Limiter;
use crate::operation::{Answer, Operation};
use crate::policy::Unsupported;
use crate::{Check, Policy, StartError};

/// The subject of the operations that find out what a store supports. They change nothing.
const NOBODY: &str = "tollgate-start";

pub(super) const NO_BANS: Unsupported = Unsupported {
    setting: "ban",
    reason: "it has a ban, and the limiter's backend does not support bans: leave the ban out, or \
             use another backend",
};
const NO_SETTLEMENTS: &str = "it settles charges, and the limiter's backend does not support that: \
     leave the settlement out, or use another backend";

impl Limiter {
    /// Returns an error if a declared policy has a period of the calendar, or limits requests in flight,
    /// and this limiter cannot apply that. Those of annotations have been validated.
    pub(super) fn check_declared(&self) -> Result<(), StartError> {
        let is_special =
            |policy: &&Policy| policy.has_calendar() || policy.get_in_flight().is_some();
        let mut declared = self.shared.declared.iter().filter(is_special);
        let error = declared.find_map(|policy| {
            let Unsupported { reason, .. } = self.unsupported(policy)?;
            Some(StartError::Unsupported { name: policy.name().to_owned(), reason })
        });
        error.map_or(Ok(()), Err)
    }

    /// Returns an error if the store does not support what a known policy needs, as it is in effect.
    /// A failure of the store is not reported: it is an outage like any other.
    pub(super) async fn check_capabilities(&self) -> Result<(), StartError> {
        if self.shared.store.supports_all() {
            return Ok(());
        }
        let annotated = Self::policies().map(|policy| -> &Policy { policy.policy() });
        let policies = annotated.chain(&self.shared.declared);
        let policies: Vec<_> =
            policies.map(|policy| self.effective_policy(policy).countable()).collect();
        let Some(any) = policies.first() else { return Ok(()) };
        // Policies of which none has a ban may be given one by an override.
        let unban = Operation::unban(Check::new(any, NOBODY, 1));
        let lacks_bans = self.does_not_support(&unban).await;
        self.shared.lacks_bans.store(lacks_bans, Ordering::Relaxed);
        for policy in &policies {
            let error = |reason| StartError::Unsupported { name: policy.name().to_owned(), reason };
            if policy.get_ban().is_some() && lacks_bans {
                return Err(error(NO_BANS.reason));
            }
            // A charge that came to what was charged is not changed.
            let settle = Operation::settle(Check::new(policy, NOBODY, 1), 0, 1);
            if policy.settles() && self.does_not_support(&settle).await {
                return Err(error(NO_SETTLEMENTS));
            }
        }
        Ok(())
    }

    /// Returns `true` if the store is known not to support bans.
    pub(super) fn lacks_bans(&self) -> bool {
        self.shared.lacks_bans.load(Ordering::Relaxed)
    }

    async fn does_not_support(&self, operation: &Operation<'_>) -> bool {
        matches!(self.apply(operation).await, Ok(Answer::Unsupported))
    }
}
