//! HAProxy's HTTP log, behind what syslog writes:
//! `client:port [time] frontend backend/server timers status … {captured|headers} "request"`.

use super::quoted::until_quote;
use super::{BAD_TIME, Context, Mismatch, Read};
use crate::plan::entry::{Entry, Fields};

pub(super) fn read<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let (before, rest) = line.split_once(" [").ok_or(Mismatch::Other)?;
    let (time, rest) = rest.split_once("] ").ok_or(Mismatch::Other)?;
    let client = before.rsplit(' ').next().unwrap_or(before);
    let (address, port) = client.rsplit_once(':').ok_or(Mismatch::Other)?;
    let mut words = rest.split(' ').skip(1);
    let (server, timers) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_timers =
        timers.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'/' | b'-' | b'+'));
    if port.parse::<u16>().is_err() || !server.contains('/') || !is_timers {
        return Err(Mismatch::Other);
    }
    match timers.matches('/').count() {
        4 => {}
        2 => {
            return Err(Mismatch::Broken(
                "it is HAProxy's line of a connection, not of a request: set `option httplog`",
            ));
        }
        _ => return Err(Mismatch::Other),
    }
    let (head, request) =
        rest.split_once(" \"").ok_or(Mismatch::Broken("it has no request in quotes"))?;
    // A line that is too long is cut, and with it the closing quote.
    let request = until_quote(request).map_or(request, |(request, _)| request);
    let time = context.clock.read(time).ok_or(BAD_TIME)?;
    let entry = Entry::new(time).peer(address).request(request);
    Ok(Some(entry.fields(Fields::Unnamed(captured(head), &[]))))
}

/// Returns the headers that were captured: those in braces, between bars.
fn captured(head: &str) -> Vec<&str> {
    let blocks = head.split(" {").skip(1).filter_map(|block| block.split_once('}'));
    blocks.flat_map(|(block, _)| block.split('|')).collect()
}
