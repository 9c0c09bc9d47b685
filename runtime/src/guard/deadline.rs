//! The guard that enforces the deadline: it ends operations that a store does not answer in time.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::store::{Answers, BoxFuture, Store};
use crate::clock::first_of;
use crate::operation::{Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Check, Clock};

pub(super) struct Deadline {
    inner: Box<dyn Store>,
    clock: Arc<dyn Clock>,
    span: Duration,
}

/// The default deadline: the longest time that an operation may take.
const DEFAULT: Duration = Duration::from_millis(100);

impl Deadline {
    pub(super) fn new(
        inner: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        span: Option<Duration>,
    ) -> Self {
        Self { inner, clock, span: span.unwrap_or(DEFAULT) }
    }
}

impl Store for Deadline {
    /// Returns the store behind this guard. The call of its `initialize` has no deadline, because
    /// it may take long, and no request waits for it.
    fn inner(&self) -> Option<&dyn Store> {
        Some(&*self.inner)
    }

    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        self.inner.charge_now(check, verdict)
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        self.inner.apply_now(operation)
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(async move {
            // The timer is created only if the store does not answer at once.
            let late = async { self.clock.sleep(self.span).await };
            match first_of(self.inner.apply(batch), late).await {
                Some(answers) => answers,
                None => {
                    let late =
                        || Err(BackendError::unknown("it did not answer before the deadline"));
                    batch.iter().map(|_| late()).collect()
                }
            }
        })
    }
}
