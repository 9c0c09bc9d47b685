//! The common and the combined format, as Apache and nginx write them:
//! `host ident user [time] "request" status size`, and in the combined format
//! `"referer" "agent"` behind it. nginx's own configuration adds `"$http_x_forwarded_for"`.

use super::quoted::{all_quoted, until_quote};
use super::{BAD_TIME, Context, Mismatch, Read};
use crate::plan::entry::{Entry, Fields};

/// The parts of a line.
pub(super) struct Parts<'a> {
    pub(super) host: &'a str,
    /// The text between the host and the time.
    pub(super) names: &'a str,
    pub(super) time: &'a str,
    pub(super) request: &'a str,
    /// The texts in quotes behind the size.
    pub(super) quoted: Vec<&'a str>,
    /// The text behind the last of them.
    pub(super) rest: &'a str,
}

/// The names of the fields behind the size.
pub(super) const NAMES: &[&str] = &["referer", "agent", "x_forwarded_for"];

pub(super) fn parts(line: &str) -> Result<Parts<'_>, Mismatch> {
    let (host, rest) = line.split_once(' ').ok_or(Mismatch::Other)?;
    let (names, rest) = rest.split_once(" [").ok_or(Mismatch::Other)?;
    let (time, rest) = rest.split_once("] \"").ok_or(Mismatch::Other)?;
    if time.contains(['[', ']']) {
        return Err(Mismatch::Other);
    }
    let (request, rest) =
        until_quote(rest).ok_or(Mismatch::Broken("the request has no closing quote"))?;
    let status = rest.trim_start().split(' ').next().unwrap_or_default();
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Mismatch::Broken("there is no status behind the request"));
    }
    let (quoted, rest) = all_quoted(rest);
    Ok(Parts { host, names, time, request, quoted, rest })
}

/// Returns the request of a line. `names` are the identity and the user.
pub(super) fn entry<'a>(
    parts: Parts<'a>,
    (peer, names): (&'a str, &'a str),
    usual: &'static [&'static str],
    context: &mut Context,
) -> Result<Entry<'a>, Mismatch> {
    let user = names.split_once(' ').ok_or(Mismatch::Other)?.1;
    let time = context.clock.read(parts.time).ok_or(BAD_TIME)?;
    let entry = Entry::new(time).peer(peer).user(user).request(parts.request);
    let agent = parts.quoted.get(1).copied().unwrap_or_default();
    Ok(entry.agent(agent).fields(Fields::Unnamed(parts.quoted, usual)))
}

/// Reads a line with at least the agent behind the size.
pub(super) fn combined<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let parts = parts(line)?;
    if parts.quoted.len() < 2 {
        return Err(Mismatch::Other);
    }
    unhosted(parts, context)
}

pub(super) fn read<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    unhosted(parts(line)?, context)
}

/// Reads a line unless it begins with a virtual host.
fn unhosted<'a>(parts: Parts<'a>, context: &mut Context) -> Read<'a> {
    if super::vhost::client(&parts).is_some() {
        return Err(Mismatch::Other);
    }
    let before = (parts.host, parts.names);
    entry(parts, before, NAMES, context).map(Some)
}
