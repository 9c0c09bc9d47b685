//! One operation on its way to a server, and the receiver of its reply.

use std::sync::{Arc, OnceLock, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::{RequestError, with_last};
use super::script::{Keys, Plan, ScriptReply};
use super::trouble::Trouble;
use crate::BackendError;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::{Mutex, timeout_at};

/// The request is in the queue, and the caller may still cancel it.
const QUEUED: u8 = 0;
/// The request may have been sent, so its effect stands, even if the caller no longer waits.
const SENT: u8 = 1;
/// The request was cancelled before it was sent.
const CANCELLED: u8 = 2;

/// The progress of a request, which its sender and its receiver share.
struct Progress {
    stage: AtomicU8,
    /// The event on which the request depends; 0 if it has been in no call.
    event: AtomicU64,
    /// The reason why the request was not executed the last time that it was sent.
    failure: Mutex<Option<String>>,
    /// The troubles of the server at which the request waits first.
    server: OnceLock<Arc<Trouble>>,
}

impl Progress {
    /// Returns the last failure of the request; if it has none, that of the server.
    fn last_failure(&self) -> Option<String> {
        let own = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        own.or_else(|| self.server.get()?.reason())
    }
}

pub(super) struct Request {
    pub(super) keys: Keys,
    pub(super) plan: Plan,
    /// The cluster slot of the keys; 0 for a server that is not in a cluster.
    pub(super) slot: u16,
    pub(super) deadline: Instant,
    /// `true` to send `ASKING` first, because the slot is being moved to the node.
    pub(super) asking: bool,
    /// `true` to send the request in a call of its own, without other keys of its slot.
    pub(super) unbatched: bool,
    /// `true` if it reports permits: nobody is late because of it, so it need not go alone on a connection
    /// of which nobody knows if it is still there.
    pub(super) is_report: bool,
    progress: Arc<Progress>,
    reply: oneshot::Sender<Result<ScriptReply, RequestError>>,
}

impl Request {
    pub(super) fn new(
        keys: Keys,
        plan: Plan,
        slot: u16,
        deadline: Instant,
    ) -> (Self, ReplyReceiver) {
        let (reply, receiver) = oneshot::channel();
        let progress = Arc::new(Progress {
            stage: AtomicU8::new(QUEUED),
            event: AtomicU64::new(0),
            failure: Mutex::default(),
            server: OnceLock::new(),
        });
        let receiver = ReplyReceiver { deadline, progress: Arc::clone(&progress), reply: receiver };
        let (asking, unbatched, is_report) = (false, false, false);
        let request =
            Self { keys, plan, slot, deadline, asking, unbatched, is_report, progress, reply };
        (request, receiver)
    }

    /// Returns the approximate number of bytes that the request adds to a call.
    pub(super) fn len(&self) -> usize {
        self.keys.len() + self.plan.len() + 16
    }

    /// Notes that the request waits at a server with these troubles.
    pub(super) fn wait_at(&self, server: &Arc<Trouble>) {
        self.progress.server.get_or_init(|| Arc::clone(server));
        self.set_event(server.event());
    }

    /// Sets the event on which the request depends.
    pub(super) fn set_event(&self, event: u64) {
        self.progress.event.store(event, Ordering::Relaxed);
    }

    /// Returns `true` if the caller still waits for the reply.
    pub(super) fn is_wanted(&self) -> bool {
        self.progress.stage.load(Ordering::Acquire) != CANCELLED && !self.reply.is_closed()
    }

    /// Marks the request as sent, because from here on it may have its effect. Returns `false` if
    /// it has been cancelled before.
    pub(super) fn mark_sent(&self) -> bool {
        !self.reply.is_closed()
            && self
                .progress
                .stage
                .compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Marks the request as certainly without effect for this reason, so that the caller may cancel
    /// it again.
    pub(super) fn mark_unsent(&self, reason: String) {
        *self.progress.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        let stage = &self.progress.stage;
        let _ = stage.compare_exchange(SENT, QUEUED, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn respond(self, reply: Result<ScriptReply, RequestError>) {
        let reply = reply.map_err(|failure| match failure {
            RequestError::Unknown(text) => {
                let last = self.progress.last_failure().filter(|last| *last != text);
                RequestError::Unknown(with_last(&text, last))
            }
            failure => failure,
        });
        // An error only means that the caller no longer waits.
        let _ = self.reply.send(reply);
    }
}

/// The caller's half of a [`Request`]. Dropping it before the request is sent cancels the request.
pub(super) struct ReplyReceiver {
    deadline: Instant,
    progress: Arc<Progress>,
    reply: oneshot::Receiver<Result<ScriptReply, RequestError>>,
}

impl ReplyReceiver {
    /// Waits for the reply, until the request's deadline at the latest.
    pub(super) async fn receive(mut self) -> Result<ScriptReply, BackendError> {
        let reply = match timeout_at(self.deadline, &mut self.reply).await {
            Ok(Ok(reply)) => reply.map_err(RequestError::into_error),
            Ok(Err(_)) => Err(self.give_up("the thread that carried the check has ended")),
            Err(_) => Err(self.give_up("no answer before the deadline")),
        };
        if let Some(server) = self.progress.server.get() {
            server.record_measured();
        }
        reply.map_err(|error| error.of_event(self.progress.event.load(Ordering::Relaxed)))
    }

    /// Gives the request up. The error tells why the request has not been executed so far.
    fn give_up(&self, reason: &str) -> BackendError {
        let is_cancelled = self.cancel();
        let reason = with_last(reason, self.progress.last_failure());
        if is_cancelled {
            BackendError::not_executed(reason)
        } else {
            BackendError::unknown(reason)
        }
    }

    /// Cancels the request. Returns `false` if it may have been sent already.
    fn cancel(&self) -> bool {
        let stage = &self.progress.stage;
        let queued = stage.compare_exchange(QUEUED, CANCELLED, Ordering::AcqRel, Ordering::Acquire);
        !matches!(queued, Err(SENT))
    }
}

impl Drop for ReplyReceiver {
    fn drop(&mut self) {
        self.cancel();
    }
}
