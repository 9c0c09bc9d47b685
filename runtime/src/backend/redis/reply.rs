//! Replies to a batch, and their delivery to the callers.

use redis::Value;

use super::batch::ScriptCall;
use super::failure::RequestError;
use super::request::Request;
use super::script::{Answers, Note, Unanswered};
use crate::Subject;

/// The replies to the calls of one batch.
pub(super) struct BatchReply {
    pub(super) calls: Vec<ScriptCall>,
    /// A value for each call, and one for each `ASKING` before a call.
    pub(super) values: Vec<Value>,
    /// The failure of a call that has no value.
    pub(super) failure: RequestError,
}

impl BatchReply {
    /// Returns `true` if every call was answered as a whole, so that the delivery only has to pass
    /// on the answers and no request has to be sent again.
    pub(super) fn is_answered(&self) -> bool {
        self.values.len() == self.calls.len() && self.values.iter().all(is_whole)
    }

    /// Returns the number of checks, and the number of those that the server has deferred.
    pub(super) fn carried_out(&self) -> (usize, usize) {
        let checks = self.calls.iter().map(|call| call.requests.len()).sum();
        let deferred = self.values.iter().filter_map(answer).map(Answers::deferred).sum();
        (checks, deferred)
    }

    /// Delivers the replies. Returns the requests that had no effect and may be sent again, each
    /// with its failure.
    pub(super) fn deliver(self) -> Vec<(Request, RequestError)> {
        let mut values = self.values.into_iter();
        let mut retry = Vec::new();
        for call in self.calls {
            if call.asking {
                values.next();
            }
            deliver(call.requests, values.next(), &self.failure, &mut retry);
        }
        retry
    }
}

/// Returns `true` if the value answers every check of a call: no check has to be sent again, and none
/// has failed.
pub(super) fn is_whole(value: &Value) -> bool {
    answer(value).and_then(Answers::new).is_some_and(Answers::are_whole)
}

/// Returns the script's answer to a call; `None` if the server said something else.
fn answer(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(answer) = value { Some(answer) } else { None }
}

/// Delivers the reply to one call. A request that the reply does not answer fails with `missing`.
/// Requests that may be sent again are added to `retry`, each with its failure.
fn deliver(
    requests: Vec<Request>,
    value: Option<Value>,
    missing: &RequestError,
    retry: &mut Vec<(Request, RequestError)>,
) {
    let mut fail = |request: Request, failure: RequestError| {
        if !failure.is_retryable() {
            request.respond(Err(failure));
        } else {
            request.mark_unsent(failure.reason());
            retry.push((request, failure));
        }
    };
    let answers = match &value {
        Some(Value::BulkString(answers)) => Answers::new(answers),
        Some(Value::ServerError(error)) => {
            let failure = match RequestError::from_server(error) {
                // Redis before 7 says so if one of several keys has moved, and the others would be
                // counted anew where it is. Each key alone is sent to where it is counted.
                RequestError::Ask(_) if requests.len() > 1 => RequestError::TryAgain,
                failure => failure,
            };
            return requests.into_iter().for_each(|request| fail(request, failure.clone()));
        }
        _ => None,
    };
    let Some(mut answers) = answers else {
        return requests.into_iter().for_each(|request| fail(request, missing.clone()));
    };
    for request in requests {
        match answers.next() {
            Some(Ok(reply)) => {
                if let Some(Note::Replaced(reason)) = reply.note.as_deref() {
                    tell_replaced(&request.keys.counters, reason);
                }
                request.respond(Ok(reply));
            }
            Some(Err(Unanswered::Failed(text))) => fail(request, RequestError::from_script(&text)),
            Some(Err(Unanswered::Deferred)) => fail(request, RequestError::Deferred),
            None => fail(request, missing.clone()),
        }
    }
}

/// Logs that a key had a value which cannot be read. The key is told by its hash, because it
/// contains the subject.
#[cold]
fn tell_replaced(key: &[u8], reason: &str) {
    let key_hash = Subject::secret(key);
    tracing::warn!(
        %key_hash,
        reason,
        "a key of the rate limit had a value that cannot be read: it was replaced, and its subject \
         counts as having used its limit up"
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::backend::redis::batch::single_call;
    use crate::backend::redis::script::{Keys, Plan};
    use crate::operation::Operation;
    use crate::{Check, Policy, Quota};

    /// Returns the failures of so many requests in a call that the server refuses by `line`.
    fn failures(requests: usize, line: &str) -> Vec<RequestError> {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let deadline = Instant::now() + Duration::from_secs(60);
        let (requests, _receivers): (Vec<_>, Vec<_>) = (0..requests)
            .map(|_| {
                let plan = Plan::of(&Operation::charge(Check::new(&policy, "s", 1)));
                Request::new(Keys::default(), plan, 0, deadline)
            })
            .unzip();
        let reply = BatchReply {
            calls: single_call(requests),
            values: vec![redis::parse_redis_value(line.as_bytes()).unwrap()],
            failure: RequestError::Unknown("none".to_owned()),
        };
        reply.deliver().into_iter().map(|(_, failure)| failure).collect()
    }

    #[test]
    fn several_keys_are_not_sent_to_where_one_of_them_has_moved() {
        let one = failures(1, "-ASK 7 host:1\r\n");
        assert!(matches!(&*one, [RequestError::Ask(node)] if node == "host:1"), "{one:?}");
        let two = failures(2, "-ASK 7 host:1\r\n");
        assert!(matches!(&*two, [RequestError::TryAgain, RequestError::TryAgain]), "{two:?}");
        let moved = failures(2, "-MOVED 7 host:1\r\n");
        assert!(moved.iter().all(|error| matches!(error, RequestError::Moved(_))), "{moved:?}");
    }

    proptest! {
        /// A call is whole if each of its replies, read in full, is one.
        #[test]
        fn a_call_is_whole_if_all_of_its_replies_are(
            kinds in prop::collection::vec(0..5_u8, 0..6),
        ) {
            let text = [3, 0, 0, 0, b'O', b'O', b'M'];
            let mut answer = vec![0; 8];
            for kind in &kinds {
                match kind {
                    0 => answer.extend([2].into_iter().chain([7; 16])),
                    1 => answer.extend([254].into_iter().chain(text).chain([1]).chain([7; 8])),
                    2 => answer.extend([252].into_iter().chain(text)),
                    3 => answer.extend([255].into_iter().chain(text)),
                    _ => answer.push(253),
                }
            }
            let mut replies = Answers::new(&answer).unwrap();
            let is_whole = replies.all(|reply| reply.is_ok());
            prop_assert_eq!(super::is_whole(&Value::BulkString(answer)), is_whole);
        }
    }
}
