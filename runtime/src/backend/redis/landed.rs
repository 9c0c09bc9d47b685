//! What a flight brings back, and handing it out.

use redis::Value;

use super::failure::Failure;
use super::job::Job;
use super::script::Answers;

/// What a flight has brought back.
pub(super) struct Landed {
    pub(super) calls: Vec<Call>,
    /// One for each call, and for each `ASKING` before one.
    pub(super) values: Vec<Value>,
    /// Why a call has none.
    pub(super) failure: Failure,
}

impl Landed {
    /// Whether every call was answered, so that nothing but answers is to be handed out.
    pub(super) fn is_answered(&self) -> bool {
        let is_answer = |value: &Value| matches!(value, Value::BulkString(_));
        self.values.len() == self.calls.len() && self.values.iter().all(is_answer)
    }

    /// Hands the answers out. Gives what had no effect and may be sent again, with the reason.
    pub(super) fn deliver(self) -> Vec<(Job, Failure)> {
        let mut values = self.values.into_iter();
        let mut again = Vec::new();
        for call in self.calls {
            if call.asking {
                values.next();
            }
            deliver(call.jobs, values.next(), &self.failure, &mut again);
        }
        again
    }
}

/// One call of the script.
pub(super) struct Call {
    pub(super) slot: u16,
    pub(super) asking: bool,
    pub(super) alone: bool,
    pub(super) jobs: Vec<Job>,
}

/// Hands the answers of a call out.
fn deliver(jobs: Vec<Job>, value: Option<Value>, lost: &Failure, again: &mut Vec<(Job, Failure)>) {
    let mut fail = |job: Job, failure: Failure| {
        if !failure.may_be_resent() {
            job.answer(Err(failure));
        } else {
            job.mark_unsent();
            if job.is_wanted() {
                again.push((job, failure));
            }
        }
    };
    let answers = match &value {
        Some(Value::BulkString(answers)) => Answers::of(answers),
        Some(Value::ServerError(error)) => {
            let failure = Failure::of_server(error);
            return jobs.into_iter().for_each(|job| fail(job, failure.clone()));
        }
        _ => None,
    };
    let Some(mut answers) = answers else {
        return jobs.into_iter().for_each(|job| fail(job, lost.clone()));
    };
    for job in jobs {
        match answers.next() {
            Some(Ok(told)) => job.answer(Ok(told)),
            Some(Err(text)) => fail(job, Failure::of_text(&text)),
            None => fail(job, lost.clone()),
        }
    }
}
