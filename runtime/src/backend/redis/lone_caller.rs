//! The caller that is alone at a server. It carries out its call itself, in its own runtime: so a
//! check costs no change of thread, to the connections' and back.
//!
//! This lasts while nobody else comes. Whoever else comes starts the worker, and that takes the call
//! over, wherever it is, before it sends anything. The worker also takes over what is more than a
//! plain answer, and the call of a caller that no longer waits. So all that can go wrong with a call
//! goes its one way, through the worker.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::time::{Instant, sleep_until};

use super::batch;
use super::direct_call::{DirectCall, DirectPlace};
use super::exchange::Exchange;
use super::node::Node;
use super::reply::{self, BatchReply};
use super::request::{ReplyReceiver, Request};
use super::round_trip::RoundTrip;
use super::script::ScriptReply;
use crate::BackendError;

/// The number of calls alone after which the next caller counts as alone. Moving the socket between
/// runtimes takes about as long as what a direct call saves.
const TO_BE_ALONE: u32 = 16;
/// The round trip from which on a change of thread no longer counts. Others who come meanwhile wait
/// for the reply.
const LONG_LINE: Duration = Duration::from_millis(1);

/// The shortest time between two looks at the deadline of the direct call.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// A caller that carries out its own call.
pub(super) struct LoneCaller {
    node: Arc<Node>,
    /// The number of its call.
    number: u64,
    is_done: bool,
}

impl Node {
    /// Begins the call of a caller that is alone. Returns the request if it is not.
    pub(super) fn begin_alone(self: &Arc<Self>, request: Request) -> Result<LoneCaller, Request> {
        if self.lone_calls.load(Ordering::Relaxed) < TO_BE_ALONE {
            return Err(request);
        }
        let Some(runtime) = runtime_that_can_wait() else { return Err(request) };
        if !self.pace().is_shorter_than(LONG_LINE) {
            return Err(request);
        }
        let mut place = self.direct();
        if !self.is_watched(&mut place, request.deadline) || !self.queue.begin_direct() {
            return Err(request);
        }
        let Some((connection, socket)) = self.connection.lend(runtime) else {
            self.queue.end_direct();
            self.lone_calls.store(0, Ordering::Relaxed);
            return Err(request);
        };
        let trouble = &self.connection.trouble;
        request.wait_at(trouble);
        request.set_event(trouble.begin());
        if !request.mark_sent() {
            socket.give_back();
            self.queue.end_direct();
            return Err(request);
        }
        let (since, deadline) = (Instant::now(), request.deadline);
        let calls = self.calls(vec![request]);
        let micros = self.virtual_time.as_ref().map(|clock| clock.now_micros());
        let command = calls.first().map(|call| batch::command(call, micros).get_packed_command());
        let exchange = Exchange::new(socket, command.unwrap_or_default());
        self.record_round_trip(1);
        {
            let mut pace = self.pace();
            pace.connect(connection);
            pace.send(since, 1, 1);
        }
        let number = self.direct_calls.fetch_add(1, Ordering::Relaxed);
        let (outcome, caller) = (None, None);
        let call =
            DirectCall { number, connection, since, deadline, calls, exchange, outcome, caller };
        place.call = Some(call);
        Ok(LoneCaller { node: Arc::clone(self), number, is_done: false })
    }

    /// Takes the direct call that is on its way over from its caller.
    pub(super) fn take_direct(&self) -> Option<DirectCall> {
        let mut call = self.direct().call.take()?;
        self.queue.end_direct();
        self.lone_calls.store(0, Ordering::Relaxed);
        // From here on the caller itself sees to its deadline.
        if let Some(caller) = call.caller.take() {
            caller.wake();
        }
        Some(call)
    }

    /// Returns `true` if the deadline of a direct call is watched. A timer for each call would cost
    /// the caller's runtime more than what a direct call saves.
    fn is_watched(self: &Arc<Self>, place: &mut DirectPlace, deadline: Instant) -> bool {
        if let Some(next_look) = place.next_look {
            return next_look <= deadline;
        }
        let Ok(driver) = self.driver.get() else { return false };
        place.next_look = Some(deadline);
        drop(driver.spawn(watch(Arc::downgrade(self), deadline)));
        true
    }
}

/// Lets the worker take over the direct call that misses its deadline. Ends when there was none for
/// about the time between a call and its deadline.
async fn watch(node: Weak<Node>, mut next_look: Instant) {
    let mut pause = next_look.saturating_duration_since(Instant::now()).max(MIN_PAUSE);
    let mut last = None;
    loop {
        sleep_until(next_look).await;
        let Some(node) = node.upgrade() else { return };
        let mut place = node.direct();
        let (now, calls) = (Instant::now(), node.direct_calls.load(Ordering::Relaxed));
        next_look = match &place.call {
            Some(call) if call.deadline > now => {
                pause = call.deadline.saturating_duration_since(call.since).max(MIN_PAUSE);
                call.deadline
            }
            Some(_) => {
                node.start_to_take_over();
                place.next_look = None;
                return;
            }
            None if last == Some(calls) => {
                place.next_look = None;
                return;
            }
            None => now + pause,
        };
        last = Some(calls);
        place.next_look = Some(next_look);
    }
}

impl LoneCaller {
    /// Goes on with the call, and waits for its reply.
    pub(super) async fn receive(
        mut self,
        receiver: ReplyReceiver,
    ) -> Result<ScriptReply, BackendError> {
        poll_fn(|context| self.poll(context)).await;
        receiver.receive().await
    }

    /// Goes on with the call until its reply is delivered, or the worker has the call.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_done {
            return Poll::Ready(());
        }
        let mut place = self.node.direct();
        let Some(call) = place.call.as_mut().filter(|call| call.number == self.number) else {
            self.is_done = true;
            return Poll::Ready(());
        };
        if !call.poll(context) {
            return Poll::Pending;
        }
        self.is_done = true;
        let is_plain = matches!(&call.outcome, Some(Ok(value)) if reply::is_whole(value));
        if is_plain && let Some(call) = place.call.take() {
            let DirectCall { connection, since, calls, exchange, outcome, .. } = call;
            exchange.end();
            let values = outcome.and_then(Result::ok).into_iter().collect();
            let trip = RoundTrip { connection, since, checks: 1 };
            let reply = trip.answered(&self.node, calls, values);
            self.node.note(&reply);
            self.node.deliver(reply);
            self.node.queue.end_direct();
        } else {
            self.node.start_to_take_over();
        }
        Poll::Ready(())
    }
}

impl Drop for LoneCaller {
    fn drop(&mut self) {
        if !self.is_done {
            let place = self.node.direct();
            if place.call.as_ref().is_some_and(|call| call.number == self.number) {
                self.node.start_to_take_over();
            }
        }
    }
}

/// Carries out the rest of a call that was taken over.
pub(super) async fn carry_on(node: Arc<Node>, mut call: DirectCall) -> BatchReply {
    let sent = call.outcome_at_home().await;
    let DirectCall { connection, since, calls, exchange, .. } = call;
    let trip = RoundTrip { connection, since, checks: 1 };
    match sent {
        Ok(Ok(value)) => {
            exchange.end();
            trip.answered(&node, calls, vec![value])
        }
        failed => {
            let failed = failed.map(|sent| sent.map(|value| vec![value]));
            // The exchange closes the socket.
            trip.end(&node, calls, failed).await
        }
    }
}

/// Returns the number of the present runtime; `None` if it may not wait for a socket. A runtime of
/// one thread does so only while it runs its tasks.
fn runtime_that_can_wait() -> Option<Id> {
    if !cfg!(all(unix, panic = "unwind")) {
        return None;
    }
    let runtime = Handle::try_current().ok()?;
    let is_driven =
        runtime.runtime_flavor() != RuntimeFlavor::CurrentThread || tokio::task::try_id().is_some();
    is_driven.then(|| runtime.id())
}
