//! A call of the script that its caller carries out, over the socket of the connection that it was
//! lent.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use redis::{RedisResult, Value};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::batch::ScriptCall;
use super::exchange::Exchange;

pub(super) struct DirectCall {
    /// The number of the call, which tells it from those before it at its node.
    pub(super) number: u64,
    /// The number of the connection.
    pub(super) connection: u64,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    pub(super) calls: Vec<ScriptCall>,
    pub(super) exchange: Exchange,
    /// The result of the exchange, if it is more than an answer.
    pub(super) outcome: Option<RedisResult<Value>>,
    /// Wakes the caller.
    pub(super) caller: Option<Waker>,
}

/// The place of a node's direct call.
#[derive(Default)]
pub(super) struct DirectPlace {
    pub(super) call: Option<DirectCall>,
    /// The time at which the watch looks at the deadline of the call; `None` while there is no watch.
    pub(super) next_look: Option<Instant>,
}

impl DirectCall {
    /// Goes on with the exchange. Returns `true` once it has come to something.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> bool {
        if !self.caller.as_ref().is_some_and(|caller| caller.will_wake(context.waker())) {
            self.caller = Some(context.waker().clone());
        }
        if self.outcome.is_none()
            && let Poll::Ready(outcome) = self.exchange.poll(context)
        {
            self.outcome = Some(outcome);
        }
        self.outcome.is_some()
    }

    /// Goes on with the exchange in the runtime of the connection, until the deadline.
    pub(super) async fn outcome_at_home(&mut self) -> Result<RedisResult<Value>, Elapsed> {
        if let Some(outcome) = self.outcome.take() {
            return Ok(outcome);
        }
        if let Err(error) = self.exchange.bring_home() {
            return Ok(Err(error.into()));
        }
        timeout_at(self.deadline, poll_fn(|context| self.exchange.poll(context))).await
    }
}
