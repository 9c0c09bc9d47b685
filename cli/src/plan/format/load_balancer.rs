//! The logs of the load balancers of AWS.

use super::quoted::words;
use super::{BAD_TIME, Context, Mismatch, Read};
use crate::plan::entry::Entry;

/// Reads `type time name client:port target:port … "request" "agent" … creation-time …`.
pub(super) fn application<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let kind = line.split(' ').next().unwrap_or_default();
    if !["http", "https", "h2", "grpcs", "ws", "wss"].contains(&kind) {
        return Err(Mismatch::Other);
    }
    let words = words(line);
    let at = |place: usize| words.get(place).copied().ok_or(CUT);
    // The first time is when the response was made.
    let ended = context.clock.read(at(1)?).ok_or(BAD_TIME)?;
    let created = words.get(21).and_then(|time| context.clock.read(time));
    let entry = Entry::new(created.unwrap_or(ended)).peer(address(at(3)?)?);
    Ok(Some(entry.target(target(at(12)?)).agent(at(13)?)))
}

/// Reads `time name client:port backend:port … "request" "agent" …`.
pub(super) fn classic<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let is_dated = line.as_bytes().get(10) == Some(&b'T');
    let words = if is_dated { words(line) } else { return Err(Mismatch::Other) };
    if words.len() < 12 || !words[11].contains("://") && !words[11].starts_with('-') {
        return Err(Mismatch::Other);
    }
    let ended = context.clock.read(words[0]).ok_or(Mismatch::Other)?;
    let entry = Entry::new(ended).peer(address(words[2])?).target(target(words[11]));
    Ok(Some(entry.agent(words.get(12).copied().unwrap_or_default())))
}

const CUT: Mismatch = Mismatch::Broken("it has fewer fields than a load balancer writes");

/// Returns an address without its port.
fn address(client: &str) -> Result<&str, Mismatch> {
    let (address, _) = client.rsplit_once(':').ok_or(Mismatch::Broken("its client has no port"))?;
    Ok(address.trim_start_matches('[').trim_end_matches(']'))
}

/// Returns the path and the query of a request line that has a whole URL.
fn target(request: &str) -> &str {
    let url = request.split(' ').nth(1).unwrap_or_default();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or(url, |at| &rest[at..])
}
