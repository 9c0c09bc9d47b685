//! The calls that are on their way on one connection, in the order in which they were sent.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::reply::BatchReply;

type Sending = Pin<Box<dyn Future<Output = BatchReply> + Send>>;

/// A call on its way.
struct PendingCall {
    sending: Sending,
    reply: Option<BatchReply>,
    /// The latest deadline of its checks.
    deadline: Instant,
}

/// The calls on their way on one connection.
#[derive(Default)]
pub(super) struct Flight {
    connection: u64,
    calls: VecDeque<PendingCall>,
    /// The time from which others may overtake the first call; `None` if they may not.
    pub(super) patient_until: Option<Instant>,
}

impl Flight {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns the number of the connection.
    pub(super) fn connection(&self) -> u64 {
        self.connection
    }

    /// Returns the latest deadline of the first call's checks.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.calls.front().map(|call| call.deadline)
    }

    /// Adds a call, and begins to send it, so that it is sent before those that are added later.
    pub(super) async fn start(
        &mut self,
        connection: u64,
        deadline: Instant,
        sending: impl Future<Output = BatchReply> + Send + 'static,
    ) {
        self.connection = connection;
        let mut call = PendingCall { sending: Box::pin(sending), reply: None, deadline };
        poll_fn(|context| {
            call.poll(context);
            Poll::Ready(())
        })
        .await;
        self.calls.push_back(call);
    }

    /// Removes the first call when it has its reply, and returns that. Waits forever if there is no
    /// call.
    pub(super) async fn first_reply(&mut self) -> BatchReply {
        poll_fn(|context| {
            // Polls the first call first: so they are sent in their order also if the driver has to
            // be waited for.
            self.calls.iter_mut().for_each(|call| call.poll(context));
            match self.calls.front_mut().and_then(|call| call.reply.take()) {
                Some(reply) => {
                    self.calls.pop_front();
                    Poll::Ready(reply)
                }
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl PendingCall {
    fn poll(&mut self, context: &mut Context<'_>) {
        if self.reply.is_none()
            && let Poll::Ready(reply) = self.sending.as_mut().poll(context)
        {
            self.reply = Some(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;
    use crate::backend::redis::failure::RequestError;

    #[tokio::test]
    async fn calls_are_sent_and_answered_in_their_order() {
        let mut flight = Flight::default();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut answers = Vec::new();
        for number in 0..3 {
            let (answer, answered) = oneshot::channel::<()>();
            let sends = Arc::clone(&sent);
            let sending = async move {
                sends.lock().unwrap().push(number);
                answered.await.unwrap();
                let failure = RequestError::Rejected(number.to_string());
                BatchReply { calls: Vec::new(), values: Vec::new(), failure }
            };
            flight.start(7, Instant::now(), sending).await;
            // It has been sent before anybody waits for it.
            assert_eq!(sent.lock().unwrap().len(), number + 1);
            answers.push(answer);
        }
        assert_eq!((flight.connection(), &**sent.lock().unwrap()), (7, &[0, 1, 2][..]));
        for (number, answer) in answers.into_iter().enumerate().rev() {
            let is_answered = tokio::select! {
                biased;
                _ = flight.first_reply() => true,
                () = std::future::ready(()) => false,
            };
            assert!(!is_answered, "{number} and those before it are not");
            answer.send(()).unwrap();
        }
        for number in 0..3 {
            assert_eq!(flight.first_reply().await.failure.reason(), number.to_string());
        }
        assert!(flight.is_empty() && flight.deadline().is_none());
    }
}
