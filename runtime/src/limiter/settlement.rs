//! Settlements: charges that are replaced by what their requests came to. A refund is one at nothing.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Limiter;
use crate::backend::store::next_answer;
use crate::decision::{Adjustment, Receipt};
use crate::micros::Timestamp;
use crate::operation::{Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Decision, Settled, Source, Unavailable};

/// The maximum number of settlements that wait for the next call. Further ones are lost.
const MAX_PENDING: usize = 16 * 1024;

/// The beginning of a settlement.
#[expect(clippy::large_enum_variant, reason = "it is matched where it is made")]
pub(crate) enum Settling {
    /// The settlement has ended. The verdict shows the state of the quotas after it; `None` if
    /// nothing has changed, or if the state is not known.
    Done(
        #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only responses show it"))]
        Option<Verdict>,
    ),
    /// The backend has to be awaited: see [`Limiter::finish_settlements`].
    Pending(Box<Receipt>),
}

/// The settlements that no caller awaits.
#[derive(Default)]
pub(super) struct BackgroundSettlements {
    /// The settlements that could not be sent, because no runtime was entered. The next call sends
    /// them.
    pending: Mutex<Vec<Receipt>>,
    has_pending: AtomicBool,
    /// The number of background tasks.
    tasks: AtomicUsize,
    /// Notified whenever a background task has ended.
    idle: Notify,
    lost: AtomicU64,
}

impl BackgroundSettlements {
    /// Adds settlements for the next call to send. Returns the number of those that are lost, because
    /// too many are waiting.
    fn add(&self, receipts: Vec<Receipt>) -> usize {
        let mut pending = self.lock();
        let lost = (pending.len() + receipts.len()).saturating_sub(MAX_PENDING);
        let kept = receipts.len() - lost.min(receipts.len());
        pending.extend(receipts.into_iter().take(kept));
        self.has_pending.store(true, Ordering::Release);
        lost
    }

    /// Removes the settlements that are to be sent, and returns them.
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
    ///   the same [`identity`](crate::backend::BackendInfo::identity).
    /// - A decision of [`Source::Local`] is refunded by the limiter that made it, until that limiter
    ///   has begun to report the charge to its backend. After that the charge stays.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer. The policy's `on_error` does not apply.
    pub async fn refund(&self, decision: Decision) -> Result<bool, Unavailable> {
        let settled = self.adjust(decision, Adjustment::Refund).await?;
        Ok(settled == Settled::Refunded)
    }

    /// Replaces the charge of `decision` by the `actual` units that the request came to, in one
    /// atomic step. This is for requests whose cost is known only afterwards: charge a reserve
    /// first, and settle it at the end.
    ///
    /// If the request came to less, the difference is given back, like a refund. If it came to more,
    /// the difference is charged at the time of the settlement, also beyond the limit. Then it is a
    /// debt: until it is worked off, further requests are refused, and their
    /// [`retry_after`](Decision::retry_after) says for how long. So in any period at most the
    /// algorithm's bound is used, and what requests under way came to beyond their reserve. A bucket
    /// or a fixed window works off a debt for at most ten years.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use tollgate::{Limiter, MemoryBackend, Policy, Quota, Settled};
    ///
    /// const TOKENS: Policy = Policy::new("tokens", Quota::per_minute(10_000));
    ///
    /// let limiter = Limiter::new(MemoryBackend::new());
    /// let reserved = limiter.check_cost(&TOKENS, "alice", 1_000).await?;
    /// assert_eq!(limiter.settle(reserved, 300).await?, Settled::Refunded);
    /// assert_eq!(limiter.peek(&TOKENS, "alice", 1).await?.remaining(), 9_700);
    /// # Ok::<_, tollgate::Unavailable>(()) }).unwrap();
    /// ```
    ///
    /// The conditions are those of [`refund`](Self::refund), except that a decision of
    /// [`Source::Local`] is not settled: its reserve stays.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer. Then the reserve stays. The policy's `on_error` does not apply.
    pub async fn settle(&self, decision: Decision, actual: u32) -> Result<Settled, Unavailable> {
        self.adjust(decision, Adjustment::Settle(actual)).await
    }

    async fn adjust(
        &self,
        decision: Decision,
        adjustment: Adjustment,
    ) -> Result<Settled, Unavailable> {
        let Some(mut receipt) = self.receipt_of(decision, adjustment) else {
            return Ok(Settled::Nothing);
        };
        if receipt.is_settled() {
            return Ok(Settled::Unchanged);
        }
        if let Some(settled) = self.settle_here(&mut receipt) {
            return Ok(settled);
        }
        let answer = self.apply(&receipt.operation()).await?;
        let settled = settled(answer)?;
        self.tell_line(&receipt, settled);
        Ok(settled)
    }

    /// Adjusts the charge of `decision` if the backend can answer without waiting. A failure is
    /// logged, because there is no caller to return it to; the charge then stays.
    pub(crate) fn settle_now(&self, decision: Decision, adjustment: Adjustment) -> Settling {
        let Some(mut receipt) = self.receipt_of(decision, adjustment) else {
            return Settling::Done(None);
        };
        if receipt.is_settled() {
            return Settling::Done(None);
        }
        if let Some(settled) = self.settle_here(&mut receipt) {
            let read = || self.read_here(&receipt);
            return Settling::Done(has_changed(settled).then(read).flatten());
        }
        let store = &self.shared.store;
        let Some(answer) = store.apply_now(&receipt.operation()) else {
            return Settling::Pending(Box::new(receipt));
        };
        let has_changed = self.has_settled(&receipt, answer);
        let read = || store.apply_now(&receipt.peek())?.ok()?.verdict();
        Settling::Done(has_changed.then(read).flatten())
    }

    /// Makes settlements for which the backend has to be awaited. Returns the state of the quotas
    /// after each. If the future is dropped, a background task completes them.
    pub(crate) async fn finish_settlements(&self, receipts: Vec<Receipt>) -> Vec<Option<Verdict>> {
        if receipts.is_empty() {
            return Vec::new();
        }
        match self.spawn_settlements(receipts) {
            Ok(task) => task.await.unwrap_or_default(),
            Err(receipts) => self.send_settlements(&receipts).await,
        }
    }

    /// Adjusts a charge without waiting for the result: at once, by a background task, or with the
    /// next call if no runtime is entered. This is for callers that are being dropped.
    pub(crate) fn settle_soon(&self, decision: Decision, adjustment: Adjustment) {
        if let Settling::Pending(receipt) = self.settle_now(decision, adjustment)
            && let Err(receipts) = self.spawn_settlements(vec![*receipt])
        {
            self.add_pending(receipts);
        }
    }

    /// Spawns a task that makes the settlements. Returns them if no runtime is entered.
    fn spawn_settlements(
        &self,
        receipts: Vec<Receipt>,
    ) -> Result<JoinHandle<Vec<Option<Verdict>>>, Vec<Receipt>> {
        let Ok(runtime) = Handle::try_current() else { return Err(receipts) };
        self.shared.settlements.tasks.fetch_add(1, Ordering::AcqRel);
        // The task's value is created before it is spawned. So it is dropped, and keeps the
        // settlements, even if the runtime never polls it.
        let task = SettlementTask { limiter: self.clone(), unsent: receipts, sent: 0 };
        Ok(runtime.spawn(task.run()))
    }

    /// Sends the settlements that have waited for a call.
    pub(super) async fn send_pending_settlements(&self) {
        if self.shared.settlements.has_pending.load(Ordering::Acquire) {
            let receipts = self.shared.settlements.take();
            // The future is boxed to keep that of a check small.
            if !receipts.is_empty()
                && let Err(receipts) = self.spawn_settlements(receipts)
            {
                Box::pin(self.send_settlements(&receipts)).await;
            }
        }
    }

    /// Sends all settlements that have not been sent, and waits for those that are under way.
    pub(super) async fn finish_pending_settlements(&self) {
        self.send_settlements(&self.shared.settlements.take()).await;
        self.shared.settlements.idle().await;
    }

    /// Returns the number of settlements that failed or were lost.
    pub(super) fn lost_settlements(&self) -> u64 {
        self.shared.settlements.lost.load(Ordering::Relaxed)
    }

    /// Sends settlements and, in the same call, reads the state of the quotas after each.
    async fn send_settlements(&self, receipts: &[Receipt]) -> Vec<Option<Verdict>> {
        if receipts.is_empty() {
            return Vec::new();
        }
        let batch: Vec<Operation<'_>> =
            receipts.iter().flat_map(|receipt| [receipt.operation(), receipt.peek()]).collect();
        let mut answers = self.shared.store.apply(&batch).await.into_iter();
        let mut next = || next_answer(&mut answers);
        let states = receipts.iter().map(|receipt| {
            let (settled, state) = (next(), next());
            self.has_settled(receipt, settled).then(|| state.ok()?.verdict()).flatten()
        });
        states.collect()
    }

    /// Returns the receipt for what this limiter can adjust of a decision's charge. Returns `None` if
    /// that is nothing: the decision charged nothing, or the charge is recorded elsewhere.
    fn receipt_of(&self, decision: Decision, adjustment: Adjustment) -> Option<Receipt> {
        let mut receipt = decision.into_receipt(adjustment)?;
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

    /// Adjusts the part of a charge that is recorded in this process. Returns the result if that is
    /// the complete settlement, or `None` if the backend has to settle the charge, too.
    fn settle_here(&self, receipt: &mut Receipt) -> Option<Settled> {
        let fallback = self.shared.fallback.as_ref()?;
        let check = receipt.check();
        if receipt.source() == Source::Local {
            if receipt.is_settlement() {
                return Some(Settled::Nothing);
            }
            let charged_at = Timestamp::from_micros(receipt.stamp_micros());
            let refunded = fallback.refund_decided(&check, charged_at, receipt.fallback_mark);
            let settled = if refunded { Settled::Refunded } else { Settled::Nothing };
            self.tell_line(receipt, settled);
            return Some(settled);
        }
        if receipt.fallback_mark > 0 {
            let recorded_at = Timestamp::from_micros(receipt.fallback_mark);
            fallback.settle(&check, recorded_at, receipt.actual());
            // A receipt that waits for the backend must not be settled here again.
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

    /// Returns `true` if the backend's answer says that a charge has changed. A failed settlement is
    /// counted and logged.
    fn has_settled(&self, receipt: &Receipt, answer: Result<Answer, BackendError>) -> bool {
        match answer.and_then(settled) {
            Ok(settled) => {
                self.tell_line(receipt, settled);
                has_changed(settled)
            }
            Err(error) => {
                let policy = receipt.check().policy.name();
                tracing::debug!(policy, %error, "a refund or settlement failed");
                self.lose_settlements(1, Some(&error));
                false
            }
        }
    }

    /// Notifies who is first in line for a key to which units were given back.
    fn tell_line(&self, receipt: &Receipt, settled: Settled) {
        if settled == Settled::Refunded {
            self.shared.queue.notify_first(&receipt.check());
        }
    }

    #[cold]
    fn add_pending(&self, receipts: Vec<Receipt>) {
        let lost = self.shared.settlements.add(receipts);
        self.lose_settlements(lost, None);
    }

    /// Counts settlements that are lost. Only the first is a warning, because an outage loses many.
    #[cold]
    fn lose_settlements(&self, count: usize, error: Option<&(dyn Error + 'static)>) {
        if count == 0 {
            return;
        }
        if self.shared.settlements.lost.fetch_add(count as u64, Ordering::Relaxed) == 0 {
            tracing::warn!(
                error,
                "a refund or settlement is lost, so the charge stays as it was; `Limiter::stats` counts \
                 further ones"
            );
        }
    }
}

/// The task that makes settlements. If it is dropped early, together with its runtime, those that it
/// has not sent are kept for the next call, and the others are lost.
struct SettlementTask {
    limiter: Limiter,
    unsent: Vec<Receipt>,
    /// The number of settlements that have been sent and not answered.
    sent: usize,
}

impl SettlementTask {
    async fn run(mut self) -> Vec<Option<Verdict>> {
        let receipts = std::mem::take(&mut self.unsent);
        self.sent = receipts.len();
        let states = self.limiter.send_settlements(&receipts).await;
        self.sent = 0;
        states
    }
}

impl Drop for SettlementTask {
    fn drop(&mut self) {
        if !self.unsent.is_empty() {
            self.limiter.add_pending(std::mem::take(&mut self.unsent));
        }
        self.limiter.lose_settlements(self.sent, None);
        let settlements = &self.limiter.shared.settlements;
        settlements.tasks.fetch_sub(1, Ordering::AcqRel);
        settlements.idle.notify_waiters();
    }
}

/// Returns the result that a store's answer to a refund or a settlement tells.
fn settled(answer: Answer) -> Result<Settled, BackendError> {
    match answer {
        Answer::Settled(settled) => Ok(settled),
        Answer::Refunded(true) => Ok(Settled::Refunded),
        Answer::Refunded(false) => Ok(Settled::Nothing),
        other => Err(other.mismatch("a refund or settlement")),
    }
}

fn has_changed(settled: Settled) -> bool {
    matches!(settled, Settled::Refunded | Settled::Charged)
}
