//! The requests that wait for one server, in the order of their arrival.

use std::collections::VecDeque;
use std::sync::PoisonError;

use tokio::sync::futures::Notified;

use super::failure::RequestError;
use super::request::Request;
use crate::sync::{Mutex, MutexGuard, Notify};

/// The maximum number of checks in one call. The script carries out fewer if they cause much work.
pub(super) const MAX_CHECKS: usize = 128;
/// The maximum size of the keys and arguments in one call, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The maximum number of checks that wait for one server. Further checks fail at once, with an
/// error which shows that they were not executed.
const MAX_WAITING: usize = 16 * 1024;

/// The queue of one server. At most one worker empties it. The worker exists only while there are
/// requests: a push that finds no worker asks its caller to start one.
#[derive(Default)]
pub(super) struct RequestQueue {
    state: Mutex<QueueState>,
    /// Notified whenever a worker or an overtaken call has ended.
    idle: Notify,
    /// Notified whenever a request is added.
    added: Notify,
}

#[derive(Default)]
struct QueueState {
    requests: VecDeque<Request>,
    has_worker: bool,
    /// `true` while a caller that is alone carries out its call itself.
    has_direct: bool,
    closed: bool,
}

impl RequestQueue {
    /// Adds a request to the end of the queue. Returns `true` if the caller has to start a worker.
    #[must_use]
    pub(super) fn push_back(&self, request: Request) -> bool {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            request.respond(Err(RequestError::Permanent("it has been closed".to_owned())));
            return false;
        }
        if state.requests.len() >= MAX_WAITING {
            drop(state);
            let reason = format!("{MAX_WAITING} checks are waiting for the server already");
            request.respond(Err(RequestError::Rejected(reason)));
            return false;
        }
        state.requests.push_back(request);
        self.added.notify_one();
        state.needs_worker()
    }

    /// Puts requests that are to be sent again at the front of the queue, in their order. Neither a
    /// full nor a closed queue rejects them. Returns `true` if the caller has to start a worker.
    #[must_use]
    pub(super) fn push_front(&self, requests: Vec<Request>) -> bool {
        let mut state = self.lock();
        for request in requests.into_iter().rev() {
            state.requests.push_front(request);
        }
        self.added.notify_one();
        state.needs_worker()
    }

    /// Begins a call that its caller carries out. Returns `false` if the caller is not alone.
    pub(super) fn begin_direct(&self) -> bool {
        let mut state = self.lock();
        let is_alone = !state.has_worker && state.requests.is_empty();
        let begins = is_alone && !state.has_direct && !state.closed;
        state.has_direct |= begins;
        begins
    }

    /// Ends this call, or leaves it to the worker.
    pub(super) fn end_direct(&self) {
        let mut state = self.lock();
        state.has_direct = false;
        let is_waited_for = state.closed;
        drop(state);
        if is_waited_for {
            self.notify_idle();
        }
    }

    /// Returns `true` if the caller has to start a worker that takes the direct call over.
    #[must_use]
    pub(super) fn take_direct_over(&self) -> bool {
        let mut state = self.lock();
        let needs_worker = state.has_direct && !state.has_worker;
        state.has_worker |= needs_worker;
        needs_worker
    }

    /// Removes the next requests to send from the queue and returns them, without the cancelled
    /// ones, and at most `most`. Returns `None` if there are none, and then the worker counts as
    /// ended.
    pub(super) fn next_batch(&self, most: usize) -> Option<Vec<Request>> {
        let mut state = self.lock();
        let batch = state.take(most);
        if batch.is_empty() {
            state.has_worker = false;
            return None;
        }
        Some(batch)
    }

    /// Does the same for a worker that does not end, because calls are on their way.
    pub(super) fn take(&self, most: usize) -> Vec<Request> {
        self.lock().take(most)
    }

    /// Drops all requests, so that they fail, because the worker was stopped before the queue was
    /// empty.
    pub(super) fn fail_pending(&self) {
        let mut state = self.lock();
        state.has_worker = false;
        let requests = std::mem::take(&mut state.requests);
        drop(state);
        drop(requests);
    }

    /// Wakes those who wait for [`idle`](Self::idle), because a worker or an overtaken call has ended.
    pub(super) fn notify_idle(&self) {
        self.idle.notify_waiters();
    }

    /// Returns the future of the next [`notify_idle`](Self::notify_idle) from now on.
    pub(super) fn idle(&self) -> Notified<'_> {
        self.idle.notified()
    }

    /// Waits until a request is added. One that was added since the last time counts.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().requests.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().requests.len()
    }

    #[cfg(test)]
    pub(super) fn has_worker(&self) -> bool {
        self.lock().has_worker
    }

    /// Rejects further requests.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Waits until all requests have been answered, after further ones are rejected.
    pub(super) async fn ended(&self) {
        loop {
            let idle = self.idle();
            {
                let state = self.lock();
                if !state.has_worker && !state.has_direct {
                    return;
                }
            }
            idle.await;
        }
    }

    /// Locks the state. Poison is ignored: no code panics while it has the lock, and even then the
    /// state would be valid.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Removes the next requests, without the cancelled ones, and at most `most`, apart from reports.
    fn take(&mut self, most: usize) -> Vec<Request> {
        let mut bytes = 0;
        let most = most.min(MAX_CHECKS);
        let mut batch = Vec::with_capacity(self.requests.len().min(most));
        while batch.len() < MAX_CHECKS
            && let Some(next) = self.requests.front()
            && (batch.len() < most || next.is_report)
            && (batch.is_empty() || bytes + next.len() <= MAX_BYTES)
            && let Some(request) = self.requests.pop_front()
        {
            if request.is_wanted() {
                bytes += request.len();
                batch.push(request);
            }
        }
        batch
    }

    /// Returns `true` if the caller has to start a worker. From then on the worker counts as
    /// running.
    fn needs_worker(&mut self) -> bool {
        let needs_worker = !self.has_worker && !self.requests.is_empty();
        self.has_worker |= needs_worker;
        needs_worker
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::backend::redis::request::ReplyReceiver;
    use crate::backend::redis::script::{Keys, Plan};
    use crate::error::Execution;
    use crate::operation::Operation;
    use crate::{Check, Policy, Quota};

    fn request() -> (Request, ReplyReceiver) {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let plan = Plan::of(&Operation::charge(Check::new(&policy, "s", 1)));
        Request::new(Keys::default(), plan, 0, Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn one_worker_is_started_and_another_one_after_it_has_ended() {
        let queue = RequestQueue::default();
        let (first, _first) = request();
        let (second, _second) = request();
        let (third, _third) = request();
        assert!(queue.push_back(first));
        assert!(!queue.push_back(second));
        assert_eq!(queue.next_batch(MAX_CHECKS).map(|batch| batch.len()), Some(2));
        assert!(queue.next_batch(MAX_CHECKS).is_none());
        assert!(!queue.push_front(Vec::new()), "there is nothing to send");
        assert!(queue.push_front(vec![third]));
    }

    #[tokio::test]
    async fn pending_requests_fail_as_not_executed() {
        let queue = RequestQueue::default();
        let (request, receiver) = request();
        assert!(queue.push_back(request));
        queue.fail_pending();
        assert!(queue.is_empty() && !queue.has_worker());
        let error = receiver.receive().await.unwrap_err();
        assert_eq!(error.execution(), Execution::NotExecuted);
    }

    #[tokio::test]
    async fn cancelled_requests_are_in_no_batch() {
        let queue = RequestQueue::default();
        let (mut waiting, mut cancelled) = (Vec::new(), Vec::new());
        for number in 0..300 {
            let (request, receiver) = request();
            queue.lock().requests.push_back(request);
            if number % 2 == 0 { waiting.push(receiver) } else { cancelled.push(receiver) }
        }
        drop(cancelled);
        assert_eq!(queue.next_batch(MAX_CHECKS).map(|batch| batch.len()), Some(MAX_CHECKS));
        assert_eq!(queue.next_batch(MAX_CHECKS).map(|batch| batch.len()), Some(150 - MAX_CHECKS));
        assert!(queue.next_batch(MAX_CHECKS).is_none());
    }

    #[tokio::test]
    async fn a_full_queue_rejects_further_requests() {
        let queue = RequestQueue::default();
        // Pretends that a worker is waiting for the server.
        queue.lock().has_worker = true;
        let mut receivers = Vec::new();
        for _ in 0..MAX_WAITING {
            let (request, receiver) = request();
            assert!(!queue.push_back(request));
            receivers.push(receiver);
        }
        let (request, receiver) = request();
        assert!(!queue.push_back(request));
        let error = receiver.receive().await.unwrap_err();
        assert_eq!(error.execution(), Execution::NotExecuted);
        assert!(error.to_string().contains("16384 checks are waiting"), "{error}");
        assert!(error.is_rejection(), "it does not concern the server");
    }
}
