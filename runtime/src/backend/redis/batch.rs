//! Sending a batch of requests as calls of the script.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value};

use super::request::Request;
use super::script;

/// One call of the script, with the requests that it carries out.
pub(super) struct ScriptCall {
    slot: u16,
    pub(super) asking: bool,
    unbatched: bool,
    pub(super) requests: Vec<Request>,
}

/// Puts all requests into one call, because a single server has no slots.
pub(super) fn single_call(requests: Vec<Request>) -> Vec<ScriptCall> {
    vec![ScriptCall { slot: 0, asking: false, unbatched: false, requests }]
}

/// Groups requests for a node of a cluster into one call for each slot, because a script may only
/// use keys of one slot.
pub(super) fn calls_by_slot(requests: Vec<Request>) -> Vec<ScriptCall> {
    let mut calls: Vec<ScriptCall> = Vec::new();
    for request in requests {
        let shared =
            |call: &&mut ScriptCall| !call.unbatched && !call.asking && call.slot == request.slot;
        if !request.unbatched
            && !request.asking
            && let Some(call) = calls.iter_mut().find(shared)
        {
            call.requests.push(request);
        } else {
            let Request { slot, asking, unbatched, .. } = request;
            calls.push(ScriptCall { slot, asking, unbatched, requests: vec![request] });
        }
    }
    calls
}

/// Sends all calls in one write. If `load` is `true`, sends the script itself before them. Returns
/// a value for each call, and one for each `ASKING` before a call.
pub(super) async fn send(
    connection: &mut MultiplexedConnection,
    calls: &[ScriptCall],
    load: bool,
    virtual_micros: Option<u64>,
) -> RedisResult<Vec<Value>> {
    let command = |call: &ScriptCall| command(call, virtual_micros);
    if let [call] = calls
        && !call.asking
        && !load
    {
        return Ok(vec![connection.send_packed_command(&command(call)).await?]);
    }
    let mut pipeline = Pipeline::with_capacity(calls.len() + 1);
    if load {
        pipeline.add_command(script::load());
    }
    for call in calls {
        if call.asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(command(call));
    }
    let count = pipeline.len();
    let mut values = connection.send_packed_commands(&pipeline, 0, count).await?;
    if load && !values.is_empty() {
        let loaded = values.remove(0);
        if matches!(loaded, Value::ServerError(_)) {
            // The calls fail for the reason for which the script could not be loaded.
            let missing = values.iter_mut().filter(|value| is_script_missing(value));
            missing.for_each(|value| *value = loaded.clone());
        }
    }
    Ok(values)
}

/// Returns the command that carries out a call.
pub(super) fn command(call: &ScriptCall, virtual_micros: Option<u64>) -> Cmd {
    let checks = call.requests.iter().map(|request| (&request.keys, &request.plan));
    script::call(checks, virtual_micros)
}

fn is_script_missing(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}
