//! Traefik's formats: `common` is the combined one with a count, the router, the server and the
//! duration behind it; `json` has names of its own.

use serde_json::Value;

use super::json::{Names, entry};
use super::{Context, Mismatch, Read, common};

/// The names of the fields in quotes.
const NAMES: &[&str] = &["referer", "agent", "router", "server"];

pub(super) fn common<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let parts = common::parts(line)?;
    let duration = parts.rest.trim().strip_suffix("ms").ok_or(Mismatch::Other)?;
    let is_number = !duration.is_empty() && duration.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || parts.quoted.len() < 2 {
        return Err(Mismatch::Other);
    }
    let before = (parts.host, parts.names);
    common::entry(parts, before, NAMES, context).map(Some)
}

const JSON_NAMES: Names = Names {
    // `time` is when the request ended.
    times: &["StartUTC", "StartLocal", "time"],
    addresses: &["ClientHost", "ClientAddr"],
    users: &["ClientUsername"],
    paths: &["RequestPath"],
    agents: &["request_User-Agent"],
};

pub(super) fn json<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    if !line.starts_with('{') || !line.contains("\"ClientAddr\"") {
        return Err(Mismatch::Other);
    }
    let line: Value = serde_json::from_str(line).map_err(|_| Mismatch::Other)?;
    if line.get("ClientAddr").is_none() {
        return Err(Mismatch::Other);
    }
    entry(line, &JSON_NAMES, context).map(Some)
}
