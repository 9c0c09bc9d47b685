//! Replies of a server to the script: whatever they are, a check ends, as a decision or an error.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tollgate::{Limiter, LocalTier, Policy, Quota, RedisBackend};

const POLICY: Policy = Policy::new("p", Quota::new(10, Duration::from_secs(60)));

/// Answers two checks with these bytes.
pub fn script_reply(data: &[u8]) {
    decisions(data);
}

/// Returns the number of checks that these bytes decide, of two.
pub fn decisions(data: &[u8]) -> usize {
    crate::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/?deadline=30ms", listener.local_addr().unwrap());
        let reply = data.to_vec();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, reply.clone()));
            }
        });
        let redis = RedisBackend::builder(&url).build().unwrap();
        let limiter = Limiter::builder(redis).local_tier(LocalTier::none()).build();
        let policy = POLICY;
        let mut decisions = 0;
        for subject in ["a", "b"] {
            let check = limiter.check(&policy, subject);
            // Far beyond the deadline, which is what ends a check that gets no reply.
            let ended = tokio::time::timeout(Duration::from_secs(20), check).await;
            match ended {
                Ok(decision) => decisions += usize::from(decision.is_ok()),
                Err(_) => panic!("a check did not end after the reply {data:?}"),
            }
        }
        server.abort();
        decisions
    })
}

/// Answers one connection: as a server until the script is called, and then with `reply`.
async fn serve(stream: TcpStream, reply: Vec<u8>) {
    let mut stream = BufReader::new(stream);
    while let Some(command) = command(&mut stream).await {
        let answer: &[u8] = match command.first().map(|name| name.to_ascii_uppercase()).as_deref() {
            Some(b"HELLO") => b"%2\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n",
            Some(b"EVALSHA") => &reply,
            _ => b"+OK\r\n",
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Reads one command, an array of texts.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<Vec<u8>>> {
    let count = number(stream, '*').await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(stream, '$').await?;
        let mut word = vec![0; length + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(length);
        words.push(word);
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>, sign: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(sign)?.parse().ok()
}
