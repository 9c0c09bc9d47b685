//! JSON, a line for each request, with the names that servers and libraries give to its fields.

use serde_json::Value;

use super::{BAD_TIME, Context, Mismatch, Read};
use crate::plan::entry::{Entry, Fields, json_field, shown};
use crate::plan::instant::since_epoch;

/// The names of the fields that matter; dots lead into fields, as in `request.remote_ip`. The first
/// that is there is taken.
pub(super) struct Names {
    pub(super) times: &'static [&'static str],
    pub(super) addresses: &'static [&'static str],
    pub(super) users: &'static [&'static str],
    pub(super) paths: &'static [&'static str],
    pub(super) agents: &'static [&'static str],
}

const NAMES: Names = Names {
    times: &[
        "time",
        "timestamp",
        "@timestamp",
        "ts",
        "time_iso8601",
        "time_local",
        "msec",
        "date",
        "start_time",
    ],
    addresses: &[
        "remote_addr",
        "client_ip",
        "remote_ip",
        "clientip",
        "ip",
        "client",
        "request.client_ip",
        "request.remote_ip",
        "httpRequest.remoteIp",
        "downstream_remote_address",
    ],
    users: &["remote_user", "user", "user_id", "auth"],
    paths: &["path", "uri", "request_uri", "request.uri"],
    agents: &["http_user_agent", "user_agent", "agent"],
};

pub(super) fn read<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    if !line.starts_with('{') {
        return Err(Mismatch::Other);
    }
    let line = serde_json::from_str(line);
    let line = line.map_err(|_| Mismatch::Broken("its JSON cannot be read"))?;
    entry(line, &NAMES, context).map(Some)
}

/// Returns the request that a line describes in fields of these names.
pub(super) fn entry(
    line: Value,
    names: &Names,
    context: &mut Context,
) -> Result<Entry<'static>, Mismatch> {
    let first = |names: &[&str]| names.iter().find_map(|name| json_field(&line, name));
    let text = |names| first(names).and_then(shown).map(|text| text.into_owned().into());
    let time = match first(names.times).ok_or(Mismatch::Broken("it has no time"))? {
        Value::String(time) => context.clock.read(time),
        Value::Number(time) => time.as_f64().and_then(since_epoch),
        _ => None,
    };
    let mut entry = Entry::new(time.ok_or(BAD_TIME)?);
    entry.peer = text(names.addresses);
    entry.user = text(names.users);
    entry.target = text(names.paths);
    entry.agent = text(names.agents);
    Ok(entry.fields(Fields::Json(line)))
}
