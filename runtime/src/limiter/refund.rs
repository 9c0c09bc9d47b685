//! Refunds: charges that are returned to their quotas.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Limiter;
use crate::backend::store::next_answer;
use crate::decision::Receipt;
use crate::micros::Timestamp;
use crate::operation::{Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Decision, Source, Unavailable};

/// The maximum number of refunds that wait for the next call. Further ones are lost.
const MAX_PENDING: usize = 16 * 1024;

/// The beginning of a refund.
pub(crate) enum Refund {
    /// The refund has ended. The verdict shows the state of the quotas after it; `None` if nothing
    /// was refunded, or if the state is not known.
    Done(
        #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only responses show it"))]
        Option<Verdict>,
    ),
    /// The backend has to be awaited: see [`Limiter::finish_refund`].
    Pending(Receipt),
}

/// The refunds that no caller awaits.
#[derive(Default)]
pub(super) struct BackgroundRefunds {
    /// The refunds that could not be sent, because no runtime was entered. The next call sends
    /// them.
    pending: Mutex<Vec<Receipt>>,
    has_pending: AtomicBool,
    /// The number of background tasks.
    tasks: AtomicUsize,
    /// Notified whenever a background task has ended.
    idle: Notify,
    lost: AtomicU64,
}

impl BackgroundRefunds {
    /// Adds refunds for the next call to send. Returns the number of refunds that are lost, because
    /// too many are waiting.
    fn add(&self, receipts: Vec<Receipt>) -> usize {
        let mut pending = self.lock();
        let lost = (pending.len() + receipts.len()).saturating_sub(MAX_PENDING);
        let kept = receipts.len() - lost.min(receipts.len());
        pending.extend(receipts.into_iter().take(kept));
        self.has_pending.store(true, Ordering::Release);
        lost
    }

    /// Removes the refunds that are to be sent, and returns them.
    fn take(&self) -> Vec<Receipt> {
        let mut pending = self.lock();
        self.has_pending.store(false, Ordering::Release);
        std::mem::take(&mut pending)
    }

    /// Waits until no background task is left.
    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Locks the list. Poison is ignored, because the list is valid whenever the lock is free.
    fn lock(&self) -> MutexGuard<'_, Vec<Receipt>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limiter {
    /// Refunds the charge of `decision`. Returns `true` if there was a charge to refund. Returns
    /// `false`, and changes nothing, if the decision charged nothing, if the charge does not count
    /// any more, or if it is not known where it counts:
    ///
    /// - A decision of a limiter with another store is not refunded here. Limiters that share one
    ///   [`MemoryBackend`](crate::MemoryBackend), or one Redis, database and key prefix, refund each
    ///   other's decisions; the hosts have to be the same in their URLs. Limiters with a backend of
    ///   another crate do if they share it by an [`Arc`](std::sync::Arc), or if their backends have
    ///   the same [`identity`](crate::Backend::identity).
    /// - A decision of [`Source::Local`] is refunded by the limiter that made it, until that limiter
    ///   has begun to report the charge to its backend. After that the charge stays.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer. The policy's `on_error` does not apply.
    pub async fn refund(&self, decision: Decision) -> Result<bool, Unavailable> {
        let Some(mut receipt) = self.receipt_of(decision) else { return Ok(false) };
        if let Some(refunded) = self.refund_here(&mut receipt) {
            return Ok(refunded);
        }
        match self.apply(&receipt.refund()).await? {
            Answer::Refunded(refunded) => {
                self.tell_line(&receipt, refunded);
                Ok(refunded)
            }
            other => Err(other.mismatch("a refund").into()),
        }
    }

    /// Refunds the charge of `decision` if the backend can answer without waiting. A failure is
    /// logged, because there is no caller to return it to; the charge then stays.
    pub(crate) fn refund_now(&self, decision: Decision) -> Refund {
        let Some(mut receipt) = self.receipt_of(decision) else { return Refund::Done(None) };
        if let Some(refunded) = self.refund_here(&mut receipt) {
            let read = || self.read_here(&receipt);
            return Refund::Done(refunded.then(read).flatten());
        }
        let store = &self.shared.store;
        let Some(answer) = store.apply_now(&receipt.refund()) else {
            return Refund::Pending(receipt);
        };
        let refunded = self.is_refunded(&receipt, answer);
        let read = || store.apply_now(&receipt.peek())?.ok()?.verdict();
        Refund::Done(refunded.then(read).flatten())
    }

    /// Makes refunds for which the backend has to be awaited. Returns the state of the quotas after
    /// each. If the future is dropped, a background task completes the refunds.
    pub(crate) async fn finish_refund(&self, receipts: Vec<Receipt>) -> Vec<Option<Verdict>> {
        if receipts.is_empty() {
            return Vec::new();
        }
        match self.spawn_refund(receipts) {
            Ok(task) => task.await.unwrap_or_default(),
            Err(receipts) => self.send_refunds(&receipts).await,
        }
    }

    /// Refunds a charge without waiting for the result: at once, by a background task, or with the
    /// next call if no runtime is entered. This is for callers that are being dropped.
    pub(crate) fn refund_soon(&self, decision: Decision) {
        if let Refund::Pending(receipt) = self.refund_now(decision)
            && let Err(receipts) = self.spawn_refund(vec![receipt])
        {
            self.add_pending(receipts);
        }
    }

    /// Spawns a task that makes the refunds. Returns the refunds if no runtime is entered.
    fn spawn_refund(
        &self,
        receipts: Vec<Receipt>,
    ) -> Result<JoinHandle<Vec<Option<Verdict>>>, Vec<Receipt>> {
        let Ok(runtime) = Handle::try_current() else { return Err(receipts) };
        self.shared.refunds.tasks.fetch_add(1, Ordering::AcqRel);
        // The task's value is created before it is spawned. So it is dropped, and keeps the
        // refunds, even if the runtime never polls it.
        let task = RefundTask { limiter: self.clone(), unsent: receipts, sent: 0 };
        Ok(runtime.spawn(task.run()))
    }

    /// Sends the refunds that have waited for a call.
    pub(super) async fn send_pending_refunds(&self) {
        if self.shared.refunds.has_pending.load(Ordering::Acquire) {
            let receipts = self.shared.refunds.take();
            // The future is boxed to keep that of a check small.
            if !receipts.is_empty()
                && let Err(receipts) = self.spawn_refund(receipts)
            {
                Box::pin(self.send_refunds(&receipts)).await;
            }
        }
    }

    /// Sends all refunds that have not been sent, and waits for those that are under way.
    pub(super) async fn finish_refunds(&self) {
        self.send_refunds(&self.shared.refunds.take()).await;
        self.shared.refunds.idle().await;
    }

    /// Returns the number of refunds that failed or were lost.
    pub(super) fn lost_refunds(&self) -> u64 {
        self.shared.refunds.lost.load(Ordering::Relaxed)
    }

    /// Sends refunds and, in the same call, reads the state of the quotas after each.
    async fn send_refunds(&self, receipts: &[Receipt]) -> Vec<Option<Verdict>> {
        if receipts.is_empty() {
            return Vec::new();
        }
        let batch: Vec<Operation<'_>> =
            receipts.iter().flat_map(|receipt| [receipt.refund(), receipt.peek()]).collect();
        let mut answers = self.shared.store.apply(&batch).await.into_iter();
        let mut next = || next_answer(&mut answers);
        let states = receipts.iter().map(|receipt| {
            let (refunded, state) = (next(), next());
            self.is_refunded(receipt, refunded).then(|| state.ok()?.verdict()).flatten()
        });
        states.collect()
    }

    /// Returns the receipt for what this limiter can refund of a decision's charge. Returns `None` if
    /// that is nothing: the decision charged nothing, or the charge is recorded elsewhere.
    fn receipt_of(&self, decision: Decision) -> Option<Receipt> {
        let mut receipt = decision.into_receipt()?;
        let origin = self.shared.origin;
        if receipt.origin.limiter != origin.limiter {
            if receipt.origin.store != origin.store || receipt.source() == Source::Local {
                return None;
            }
            // The fallback with the record of this charge is that of the other limiter.
            receipt.fallback_mark = 0;
        }
        Some(receipt)
    }

    /// Refunds the part of a charge that is recorded in this process. Returns the result if that is
    /// the complete refund, or `None` if the backend has to refund the charge, too.
    fn refund_here(&self, receipt: &mut Receipt) -> Option<bool> {
        let fallback = self.shared.fallback.as_ref()?;
        let check = receipt.check();
        if receipt.source() == Source::Local {
            let charged_at = Timestamp::from_micros(receipt.stamp_micros());
            let refunded = fallback.refund_decided(&check, charged_at, receipt.fallback_mark);
            self.tell_line(receipt, refunded);
            return Some(refunded);
        }
        if receipt.fallback_mark > 0 {
            fallback.refund(&check, Timestamp::from_micros(receipt.fallback_mark));
            // A receipt that waits for the backend must not be refunded here again.
            receipt.fallback_mark = 0;
        }
        None
    }

    /// Reads the state of the quotas in the fallback.
    fn read_here(&self, receipt: &Receipt) -> Option<Verdict> {
        let mut verdict = Verdict::open();
        let fallback = self.shared.fallback.as_ref()?;
        fallback.decide(&receipt.peek(), &mut verdict).then_some(verdict)
    }

    /// Returns `true` if the backend's answer says that a charge was refunded. A failed refund is
    /// counted and logged.
    fn is_refunded(&self, receipt: &Receipt, answer: Result<Answer, BackendError>) -> bool {
        match answer {
            Ok(Answer::Refunded(refunded)) => {
                self.tell_line(receipt, refunded);
                refunded
            }
            Ok(other) => {
                self.lose_refunds(1, Some(&other.mismatch("a refund")));
                false
            }
            Err(error) => {
                let policy = receipt.check().policy.name();
                tracing::debug!(policy, %error, "a refund failed");
                self.lose_refunds(1, Some(&error));
                false
            }
        }
    }

    /// Notifies who is first in line for a key to which a charge was given back.
    fn tell_line(&self, receipt: &Receipt, refunded: bool) {
        if refunded {
            self.shared.queue.notify_first(&receipt.check());
        }
    }

    #[cold]
    fn add_pending(&self, receipts: Vec<Receipt>) {
        let lost = self.shared.refunds.add(receipts);
        self.lose_refunds(lost, None);
    }

    /// Counts refunds that are lost. Only the first is a warning, because an outage loses many.
    #[cold]
    fn lose_refunds(&self, count: usize, error: Option<&(dyn Error + 'static)>) {
        if count == 0 {
            return;
        }
        if self.shared.refunds.lost.fetch_add(count as u64, Ordering::Relaxed) == 0 {
            tracing::warn!(
                error,
                "a refund is lost, so its charge stays; `Limiter::stats` counts further ones"
            );
        }
    }
}

/// The task that makes refunds. If it is dropped early, together with its runtime, the refunds that
/// it has not sent are kept for the next call, and the others are lost.
struct RefundTask {
    limiter: Limiter,
    unsent: Vec<Receipt>,
    /// The number of refunds that have been sent and not answered.
    sent: usize,
}

impl RefundTask {
    async fn run(mut self) -> Vec<Option<Verdict>> {
        let receipts = std::mem::take(&mut self.unsent);
        self.sent = receipts.len();
        let states = self.limiter.send_refunds(&receipts).await;
        self.sent = 0;
        states
    }
}

impl Drop for RefundTask {
    fn drop(&mut self) {
        if !self.unsent.is_empty() {
            self.limiter.add_pending(std::mem::take(&mut self.unsent));
        }
        self.limiter.lose_refunds(self.sent, None);
        let refunds = &self.limiter.shared.refunds;
        refunds.tasks.fetch_sub(1, Ordering::AcqRel);
        refunds.idle.notify_waiters();
    }
}
