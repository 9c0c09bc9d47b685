//! Replies to a batch, and their delivery to the callers.

use redis::Value;

use super::batch::ScriptCall;
use super::failure::RequestError;
use super::request::Request;
use super::script::Answers;
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
    /// Returns `true` if every call was answered, so that the delivery only has to pass on the
    /// answers and no request has to be sent again.
    pub(super) fn is_answered(&self) -> bool {
        let is_answer = |value: &Value| matches!(value, Value::BulkString(_));
        self.values.len() == self.calls.len() && self.values.iter().all(is_answer)
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
            if request.is_wanted() {
                retry.push((request, failure));
            }
        }
    };
    let answers = match &value {
        Some(Value::BulkString(answers)) => Answers::new(answers),
        Some(Value::ServerError(error)) => {
            let failure = RequestError::from_server(error);
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
                if let Some(reason) = &reply.replaced {
                    tell_replaced(&request.key, reason);
                }
                request.respond(Ok(reply));
            }
            Some(Err(text)) => fail(request, RequestError::from_script(&text)),
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
