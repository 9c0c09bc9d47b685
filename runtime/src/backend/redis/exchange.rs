//! One command and its reply, over a lent socket.

use std::io;
use std::task::{Context, Poll, ready};

use redis::{RedisResult, Value, parse_redis_value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::LentSocket;

/// The space for what is read at once. Any reply to one check fits into it.
const SPACE: usize = 512;
/// The longest line of a reply.
const MAX_LINE: usize = 64 * 1024;

/// A command that is being written, or whose reply is being read.
pub(super) struct Exchange {
    socket: LentSocket,
    command: Vec<u8>,
    /// The number of bytes of the command that have been written.
    written: usize,
    received: Vec<u8>,
}

impl Exchange {
    pub(super) fn new(socket: LentSocket, command: Vec<u8>) -> Self {
        Self { socket, command, written: 0, received: Vec::new() }
    }

    /// Registers the socket with the runtime of its connection, from which it is polled then.
    pub(super) fn bring_home(&mut self) -> io::Result<()> {
        self.socket.bring_home()
    }

    /// Gives the socket back, after the reply has come.
    pub(super) fn end(self) {
        self.socket.give_back();
    }

    /// Goes on until the reply is there.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<RedisResult<Value>> {
        while let Some(rest) = self.command.get(self.written..).filter(|rest| !rest.is_empty()) {
            self.written += ready!(self.socket.stream()?.poll_write(context, rest))?;
        }
        loop {
            let mut space = [0; SPACE];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(self.socket.stream()?.poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            self.received.extend_from_slice(buffer.filled());
            match length(&self.received) {
                Some(length) if length == self.received.len() => {
                    return Poll::Ready(value(&self.received));
                }
                Some(length) if length < self.received.len() => break,
                None if !is_of_script(&self.received) => break,
                _ => {}
            }
        }
        let reason = "the server's answer makes no sense";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason).into()))
    }
}

/// Returns `true` if this is the beginning of a reply to a call of a script: a text or an error.
fn is_of_script(received: &[u8]) -> bool {
    let is_short = received.len() < MAX_LINE;
    is_short && received.first().is_none_or(|first| b"$!-+:_".contains(first))
}

/// Returns the value of a whole reply.
fn value(reply: &[u8]) -> RedisResult<Value> {
    match reply {
        [b'$', rest @ .., b'\r', b'\n'] => {
            let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or_default();
            Ok(Value::BulkString(rest.iter().copied().skip(line + 1).collect()))
        }
        _ => parse_redis_value(reply),
    }
}

/// Returns the length of the reply that begins like this; `None` if it cannot be told yet, or if the
/// server never replies like this to a call of a script.
fn length(received: &[u8]) -> Option<usize> {
    let line = received.windows(2).position(|bytes| bytes == b"\r\n")?;
    let after = line + 2;
    match received.get(..line)? {
        [b'$' | b'!', digits @ ..] => {
            let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
            after.checked_add(length)?.checked_add(2)
        }
        [b'-' | b'+' | b':' | b'_', ..] => Some(after),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{length, value};

    #[test]
    fn a_reply_is_complete_at_its_last_byte() {
        let replies: [&[u8]; 6] = [
            b"$0\r\n\r\n",
            b"$5\r\nab\r\nc\r\n",
            b"-NOSCRIPT No matching script.\r\n",
            b"!5\r\nERR a\r\n",
            b"+OK\r\n",
            b"_\r\n",
        ];
        for reply in replies {
            for end in 0..reply.len() {
                let told = length(&reply[..end]);
                assert!(told.is_none_or(|length| length == reply.len()), "{end} of {reply:?}");
            }
            assert_eq!(length(reply), Some(reply.len()));
            assert_eq!(value(reply), redis::parse_redis_value(reply));
        }
        assert_eq!(length(b"*1\r\n:1\r\n"), None);
    }
}
