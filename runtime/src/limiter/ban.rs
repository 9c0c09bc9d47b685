//! Bans that a program sets and lifts.

use std::time::Duration;

use super::Limiter;
use crate::named_subject::AsSubject;
use crate::operation::{Answer, Operation};
use crate::policy::ban::{Ban, BanError};
use crate::{BackendError, Check, Policy, Unavailable};

const NO_QUOTA: &str = "a ban stands beside what a quota counts, and this policy only limits requests \
     in flight: give it a quota, or block the subject by an override";

impl Limiter {
    /// Bans `subject` under `policy` for `duration`: every request of it is refused until then
    /// ([`Outcome::Banned`](crate::Outcome::Banned)). A ban that ends later stays. The policy needs
    /// no [`Ban`] of its own, and what that counts does not change.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer or cannot ban, if the policy has no quota, or if `duration` is
    /// shorter than 1 ms, longer than ten years or not a whole number of microseconds. The policy's `on_error` does not apply.
    pub async fn ban(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
        duration: Duration,
    ) -> Result<(), Unavailable> {
        Ban::span_of(duration).map_err(not_a_ban)?;
        let subject = self.subject_of(&subject);
        let declared = Check::new(policy, &subject, 0);
        let policy = self.countable_policy_for(&declared);
        let check = declared.with_policy(&policy);
        if policy.quotas().is_empty() {
            return Err(BackendError::rejected(NO_QUOTA).into());
        }
        match self.apply(&Operation::ban(check, duration)).await? {
            Answer::Banned => {
                if let Some(fallback) = &self.shared.fallback {
                    fallback.ban(&check, duration);
                }
                self.shared.queue.notify_first(&check);
                Ok(())
            }
            other => Err(other.mismatch("a ban").into()),
        }
    }

    /// Ends the ban of `subject` under `policy`. Returns `true` if it was banned. Its charges stay,
    /// and earlier refusals and bans still count for the next ban; [`reset`](Self::reset) forgets
    /// them, too.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer or cannot ban. The policy's `on_error` does not apply.
    pub async fn unban(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
    ) -> Result<bool, Unavailable> {
        let subject = self.subject_of(&subject);
        let declared = Check::new(policy, &subject, 0);
        let policy = self.countable_policy_for(&declared);
        let check = declared.with_policy(&policy);
        if policy.quotas().is_empty() {
            return Ok(false);
        }
        if let Some(fallback) = &self.shared.fallback {
            fallback.unban(&check);
        }
        match self.apply(&Operation::unban(check)).await? {
            Answer::Unbanned(was_banned) => {
                self.shared.queue.notify_first(&check);
                Ok(was_banned)
            }
            other => Err(other.mismatch("the end of a ban").into()),
        }
    }
}

fn not_a_ban(error: BanError) -> Unavailable {
    BackendError::rejected(error.to_string()).into()
}
