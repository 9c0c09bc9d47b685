//! Envoy's default format, and Istio's, which adds to it:
//! `[time] "request" status flags … "x-forwarded-for" "agent" "id" "authority" "upstream" …`.

use super::quoted::all_quoted;
use super::{BAD_TIME, Context, Mismatch, Read};
use crate::plan::entry::{Entry, Fields};

/// The names of the fields in quotes.
const NAMES: &[&str] = &["x_forwarded_for", "agent", "request_id", "authority", "upstream_host"];

pub(super) fn read<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let rest = line.strip_prefix('[').ok_or(Mismatch::Other)?;
    let (time, rest) = rest.split_once("] \"").ok_or(Mismatch::Other)?;
    let Some((request, rest)) = super::quoted::until_quote(rest) else {
        return Err(Mismatch::Broken("the request has no closing quote"));
    };
    let (mut quoted, rest) = all_quoted(rest);
    // Istio has the reason for which the transport failed before the sizes, and the addresses of both
    // connections at the end.
    let is_istio = quoted.len() > NAMES.len();
    if is_istio {
        quoted.remove(0);
    }
    if quoted.len() < NAMES.len() {
        return Err(Mismatch::Broken("it has fewer fields in quotes than Envoy writes"));
    }
    let time = context.clock.read(time).ok_or(BAD_TIME)?;
    let peer = rest.split_whitespace().nth(3).filter(|_| is_istio).unwrap_or_default();
    let entry = Entry::new(time).peer(peer).request(request).agent(quoted[1]);
    Ok(Some(entry.fields(Fields::Unnamed(quoted, NAMES))))
}
