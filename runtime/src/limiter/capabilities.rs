//! The check, at start, that the store supports what the known policies need.

use super::Limiter;
use crate::operation::{Answer, Operation};
use crate::{Check, Policy, StartError};

/// The subject of the operations that find out what a store supports. They change nothing.
const NOBODY: &str = "tollgate-start";

const NO_BANS: &str = "it has a ban, and the limiter's backend does not support bans: leave the ban \
     out, or use another backend";
const NO_SETTLEMENTS: &str = "it settles charges, and the limiter's backend does not support that: \
     leave the settlement out, or use another backend";

impl Limiter {
    /// Returns an error if the store does not support what a known policy needs. A failure of the
    /// store is not reported: it is an outage like any other.
    pub(super) async fn check_capabilities(&self) -> Result<(), StartError> {
        if self.shared.store.supports_all() {
            return Ok(());
        }
        let annotated = Self::policies().map(|policy| -> &Policy { policy.policy() });
        for policy in annotated.chain(&self.shared.declared) {
            let check = Check::new(policy, NOBODY, 1);
            let needed = [
                (policy.get_ban().is_some(), Operation::unban(check), NO_BANS),
                // A charge that came to what was charged is not changed.
                (policy.settles(), Operation::settle(check, 0, check.cost), NO_SETTLEMENTS),
            ];
            for (is_needed, operation, reason) in needed {
                if is_needed && matches!(self.apply(&operation).await, Ok(Answer::Unsupported)) {
                    let name = policy.name().to_owned();
                    return Err(StartError::Unsupported { name, reason });
                }
            }
        }
        Ok(())
    }
}
