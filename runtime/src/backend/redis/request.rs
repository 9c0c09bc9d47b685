//! One operation on its way to a server, and the receiver of its reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::failure::RequestError;
use super::script::{Plan, ScriptReply};
use crate::BackendError;

/// The request is in the queue, and the caller may still cancel it.
const QUEUED: u8 = 0;
/// The request may have been sent, so its effect stands, even if the caller no longer waits.
const SENT: u8 = 1;
/// The request was cancelled before it was sent.
const CANCELLED: u8 = 2;

pub(super) struct Request {
    pub(super) key: Box<[u8]>,
    pub(super) plan: Plan,
    /// The cluster slot of the key; 0 for a server that is not in a cluster.
    pub(super) slot: u16,
    pub(super) deadline: Instant,
    /// `true` to send `ASKING` first, because the slot is being moved to the node.
    pub(super) asking: bool,
    /// `true` to send the request in a call of its own, without other keys of its slot.
    pub(super) unbatched: bool,
    stage: Arc<AtomicU8>,
    reply: oneshot::Sender<Result<ScriptReply, RequestError>>,
}

impl Request {
    pub(super) fn new(
        key: Box<[u8]>,
        plan: Plan,
        slot: u16,
        deadline: Instant,
    ) -> (Self, ReplyReceiver) {
        let (reply, receiver) = oneshot::channel();
        let stage = Arc::new(AtomicU8::new(QUEUED));
        let receiver = ReplyReceiver { deadline, stage: Arc::clone(&stage), reply: receiver };
        (
            Self { key, plan, slot, deadline, asking: false, unbatched: false, stage, reply },
            receiver,
        )
    }

    /// Returns the approximate number of bytes that the request adds to a call.
    pub(super) fn len(&self) -> usize {
        self.key.len() + self.plan.len() + 16
    }

    /// Returns `true` if the caller still waits for the reply.
    pub(super) fn is_wanted(&self) -> bool {
        self.stage.load(Ordering::Acquire) != CANCELLED && !self.reply.is_closed()
    }

    /// Marks the request as sent, because from here on it may have its effect. Returns `false` if
    /// it has been cancelled before.
    pub(super) fn mark_sent(&self) -> bool {
        !self.reply.is_closed()
            && self
                .stage
                .compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Marks the request as certainly without effect, so that the caller may cancel it again.
    pub(super) fn mark_unsent(&self) {
        let _ = self.stage.compare_exchange(SENT, QUEUED, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn respond(self, reply: Result<ScriptReply, RequestError>) {
        // An error only means that the caller no longer waits.
        let _ = self.reply.send(reply);
    }
}

/// The caller's half of a [`Request`]. Dropping it before the request is sent cancels the request.
pub(super) struct ReplyReceiver {
    deadline: Instant,
    stage: Arc<AtomicU8>,
    reply: oneshot::Receiver<Result<ScriptReply, RequestError>>,
}

impl ReplyReceiver {
    /// Waits for the reply, until the request's deadline at the latest.
    pub(super) async fn receive(mut self) -> Result<ScriptReply, BackendError> {
        match timeout_at(self.deadline, &mut self.reply).await {
            Ok(Ok(reply)) => reply.map_err(RequestError::into_error),
            Ok(Err(_)) => Err(self.give_up("the runtime that carried the check is gone")),
            Err(_) => Err(self.give_up("no answer before the deadline")),
        }
    }

    fn give_up(&self, reason: &'static str) -> BackendError {
        if self.cancel() {
            BackendError::not_executed(reason)
        } else {
            BackendError::unknown(reason)
        }
    }

    /// Cancels the request. Returns `false` if it may have been sent already.
    fn cancel(&self) -> bool {
        let queued =
            self.stage.compare_exchange(QUEUED, CANCELLED, Ordering::AcqRel, Ordering::Acquire);
        !matches!(queued, Err(SENT))
    }
}

impl Drop for ReplyReceiver {
    fn drop(&mut self) {
        self.cancel();
    }
}
