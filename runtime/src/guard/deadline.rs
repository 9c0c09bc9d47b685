//! Gives a backend only so much time.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Verdict;
use crate::queue::first_of;
use crate::{Answer, Backend, BackendError, Clock, Operation, Policy};

pub(super) struct Deadline<B> {
    inner: B,
    clock: Arc<dyn Clock>,
    /// `None`: the backend keeps it itself.
    span: Option<Duration>,
}

/// How long an operation may take unless something else is set.
const DEFAULT: Duration = Duration::from_millis(100);

impl<B: Backend> Deadline<B> {
    /// A backend may keep a deadline itself: it knows whether what it gives up was sent.
    pub(super) fn new(mut inner: B, clock: Arc<dyn Clock>, span: Option<Duration>) -> Self {
        let is_kept = inner.keeps_deadline(span);
        Self { inner, clock, span: (!is_kept).then(|| span.unwrap_or(DEFAULT)) }
    }
}

impl<B: Backend> Backend for Deadline<B> {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let Some(span) = self.span else { return self.inner.apply(batch).await };
        // The timer is made only if the backend does not answer at once.
        let late = async { self.clock.sleep(span).await };
        match first_of(self.inner.apply(batch), late).await {
            Some(answers) => answers,
            None => {
                let late = || Err(BackendError::unknown("it did not answer before the deadline"));
                batch.iter().map(|_| late()).collect()
            }
        }
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        self.inner.apply_now(operation)
    }

    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        self.inner.charge_now(policy, subject, cost, verdict)
    }

    /// Not limited: it may have to do much, and nobody's request waits for it.
    async fn initialize(&self) -> Result<(), BackendError> {
        self.inner.initialize().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
