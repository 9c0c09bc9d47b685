//! Squid's own format: `time elapsed client result/status size method URL user hierarchy/peer type`.

use super::{Context, Mismatch, Read};
use crate::plan::entry::Entry;
use crate::plan::instant::Instant;

pub(super) fn read<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let mut words = line.split_ascii_whitespace();
    let mut next = || words.next().ok_or(Mismatch::Other);
    let (time, elapsed, client, result) = (next()?, next()?, next()?, next()?);
    let (_size, _method, url, user, hierarchy) = (next()?, next()?, next()?, next()?, next()?);
    let is_seconds = time.contains('.') && time.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_result = result.split_once('/').is_some_and(|(code, status)| {
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        code.bytes().all(is_code) && status.parse::<u16>().is_ok()
    });
    if !is_seconds || !is_result || !hierarchy.contains('/') {
        return Err(Mismatch::Other);
    }
    let elapsed: i64 = elapsed.parse().map_err(|_| Mismatch::Other)?;
    let ended = context.clock.read(time).ok_or(super::BAD_TIME)?;
    // It is written when the request has ended, and says for how many milliseconds it lasted.
    let elapsed = u64::try_from(elapsed).unwrap_or(0).saturating_mul(1_000);
    let time = Instant { micros: ended.micros.saturating_sub(elapsed), ..ended };
    Ok(Some(Entry::new(time).peer(client).target(url).user(user)))
}
