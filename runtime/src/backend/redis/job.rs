//! One operation on its way to a server, and the ticket with which its caller waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::script::Plan;
use crate::BackendError;

/// Waiting: whoever asked may still call it off.
const QUEUED: u8 = 0;
/// Perhaps written: its effect stands, whoever still waits.
const SENT: u8 = 1;
/// Called off before it was sent.
const CANCELLED: u8 = 2;

pub(super) struct Job {
    pub(super) key: Box<[u8]>,
    pub(super) plan: Plan,
    /// Of a cluster.
    pub(super) slot: u16,
    pub(super) deadline: Instant,
    /// The next node is to be told that the slot is on its way to it.
    pub(super) asking: bool,
    /// Not in one call with other keys of its slot.
    pub(super) alone: bool,
    stage: Arc<AtomicU8>,
    reply: oneshot::Sender<Result<Told, Failure>>,
}

/// What the script said to one operation: its status and the raw state.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) now: u64,
    pub(super) numbers: Numbers,
}

/// Of one quota there are few.
pub(super) type Numbers = SmallVec<[u64; 4]>;

impl Job {
    pub(super) fn new(key: Box<[u8]>, plan: Plan, slot: u16, deadline: Instant) -> (Self, Ticket) {
        let (reply, answer) = oneshot::channel();
        let stage = Arc::new(AtomicU8::new(QUEUED));
        let ticket = Ticket { deadline, stage: Arc::clone(&stage), answer };
        (Self { key, plan, slot, deadline, asking: false, alone: false, stage, reply }, ticket)
    }

    /// About how much of a request it is.
    pub(super) fn len(&self) -> usize {
        self.key.len() + self.plan.len() + 16
    }

    /// Whether somebody still waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.stage.load(Ordering::Acquire) != CANCELLED && !self.reply.is_closed()
    }

    /// From here on its charge may stand. `false`: it was called off before.
    pub(super) fn mark_sent(&self) -> bool {
        !self.reply.is_closed()
            && self
                .stage
                .compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// It certainly had no effect.
    pub(super) fn mark_unsent(&self) {
        let _ = self.stage.compare_exchange(SENT, QUEUED, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn answer(self, answer: Result<Told, Failure>) {
        // If nobody waits any more, nobody needs it.
        let _ = self.reply.send(answer);
    }
}

/// What a caller waits with. Dropped before the job is sent, it calls the job off.
pub(super) struct Ticket {
    deadline: Instant,
    stage: Arc<AtomicU8>,
    answer: oneshot::Receiver<Result<Told, Failure>>,
}

impl Ticket {
    pub(super) async fn answer(mut self) -> Result<Told, BackendError> {
        match timeout_at(self.deadline, &mut self.answer).await {
            Ok(Ok(answer)) => answer.map_err(Failure::into_error),
            Ok(Err(_)) => Err(self.lost("the runtime that carried the check is gone")),
            Err(_) => Err(self.lost("no answer before the deadline")),
        }
    }

    fn lost(&self, reason: &'static str) -> BackendError {
        if self.call_off() {
            BackendError::not_executed(reason)
        } else {
            BackendError::unknown(reason)
        }
    }

    fn call_off(&self) -> bool {
        let queued =
            self.stage.compare_exchange(QUEUED, CANCELLED, Ordering::AcqRel, Ordering::Acquire);
        !matches!(queued, Err(SENT))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.call_off();
    }
}
