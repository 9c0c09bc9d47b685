//! An operation on its way, and the end of its round trip.

use super::answer::answer;
use super::lone_caller::LoneCaller;
use super::permits::PermitOnItsWay;
use super::request::ReplyReceiver;
use super::script::ScriptReply;
use super::windows::AskedWindows;
use crate::operation::{Answer, Operation};
use crate::{BackendError, Outcome};

/// An operation on its way.
pub(super) struct Submitted {
    /// The caller, if it carries out the call itself.
    pub(super) caller: Option<LoneCaller>,
    pub(super) receiver: ReplyReceiver,
    /// The permit that it may take; `None` if it takes none.
    pub(super) taking: Option<PermitOnItsWay>,
}

impl Submitted {
    pub(super) async fn receive(
        it: Result<Self, BackendError>,
        operation: &Operation<'_>,
    ) -> Result<Received, BackendError> {
        let Self { caller, receiver, taking } = it?;
        let reply = match caller {
            Some(caller) => caller.receive(receiver).await,
            None => receiver.receive().await,
        };
        let reply = reply?;
        if reply.wanted().is_some() {
            return Ok(Received::Lacking(reply));
        }
        let answer = answer(operation, reply)?;
        if let (Some(taking), Answer::Verdict(verdict)) = (taking, &answer) {
            taking.answered(verdict.outcome() == Outcome::Allowed);
        }
        Ok(Received::Answer(answer))
    }
}

/// The end of a round trip.
pub(super) enum Received {
    Answer(Answer),
    /// The operation lacks windows of calendars, and was not executed.
    Lacking(ScriptReply),
}

/// An operation that lacks windows of calendars.
pub(super) struct Lacking {
    /// Its place in the batch.
    pub(super) index: usize,
    pub(super) reply: ScriptReply,
    /// The windows that it was given before.
    pub(super) asked: AskedWindows,
}
