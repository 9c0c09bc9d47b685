//! Permits for other uses than the calls of annotated functions.

use super::limited::RateLimited;
use crate::named_subject::AsSubject;
use crate::permit::Permit;
use crate::{Limiter, Policy};

impl Limiter {
    /// Takes a permit of `subject` under `policy`, and charges the policy's quotas, if it has any, at a
    /// cost of 1. The permit is released when it is dropped.
    ///
    /// ```
    /// use tollgate::{InFlight, Policy, RateLimited, get_limiter};
    ///
    /// const IMPORTS: Policy = Policy::in_flight_only("imports", InFlight::new(4));
    ///
    /// async fn import(tenant: &str) -> Result<(), RateLimited> {
    ///     let _permit = get_limiter().permit(&IMPORTS, tenant).await?;
    ///     // … no more than four of a tenant's imports are here at the same time …
    ///     Ok(())
    /// }
    /// ```
    ///
    /// If the policy does not limit requests in flight or is switched off, if it would refuse but for its
    /// shadow mode, or if it is open while the backend fails, the permit [is empty](Permit::is_empty).
    ///
    /// # Errors
    ///
    /// If the policy refuses the request, or if the backend cannot answer and the policy is closed.
    pub async fn permit(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
    ) -> Result<Permit, RateLimited> {
        let mut decision = self.check(policy, subject).await?.into_result()?;
        Ok(decision.take_permit().unwrap_or_default())
    }
}
