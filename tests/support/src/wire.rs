//! HTTP/1 by hand: a client that writes what a test tells it to, and reads while it writes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

/// A connection to a server.
pub struct Wire {
    reader: Reader,
    writer: OwnedWriteHalf,
}

/// The end of a connection from which responses come.
struct Reader {
    stream: OwnedReadHalf,
    /// Bytes that were read, and are not yet part of a response.
    buffer: Vec<u8>,
}

/// A response. Those with a status below 200, which come before it, are in `interim`.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub interim: Vec<u16>,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of the first field of this name, which is in small letters.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }
}

impl Wire {
    /// Connects from the address of a client.
    pub async fn connect(from: IpAddr, to: SocketAddr) -> Self {
        let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self::from(socket.connect(to).await.unwrap())
    }

    /// Sends bytes. An error is only that nobody reads them, which the response says better.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.writer.write_all(bytes.as_ref()).await;
    }

    /// Reads the next response by its length. An error if the connection ends before.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        self.reader.answer("GET").await
    }

    /// Reads the response to a HEAD, which has no body.
    pub async fn answer_to_head(&mut self) -> io::Result<Answer> {
        self.reader.answer("HEAD").await
    }

    /// Waits until the server has closed the connection. Says how many bytes came before.
    pub async fn closed(mut self) -> usize {
        while self.reader.read().await.is_ok_and(|bytes| bytes > 0) {}
        self.reader.buffer.len()
    }

    /// Says that nothing more is sent, and leaves it open for what comes.
    pub async fn end(&mut self) {
        let _ = self.writer.shutdown().await;
    }
}

impl Reader {
    async fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut interim = Vec::new();
        loop {
            let head = self.through(b"\r\n\r\n").await?;
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
            let status: u16 = status.ok_or_else(|| io::Error::other(head.clone()))?;
            if status < 200 {
                interim.push(status);
                continue;
            }
            let fields = lines.filter_map(|line| line.split_once(':'));
            let fields = fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
            let body = String::new();
            let mut answer = Answer { status, interim, fields: fields.collect(), body };
            if method != "HEAD" {
                answer.body = self.body(&answer).await?;
            }
            return Ok(answer);
        }
    }

    async fn body(&mut self, answer: &Answer) -> io::Result<String> {
        if answer.field("transfer-encoding") == Some("chunked") {
            return self.through(b"0\r\n\r\n").await;
        }
        let length = answer.field("content-length").map(|length| length.parse::<usize>().unwrap());
        while length.is_none_or(|length| self.buffer.len() < length) {
            if self.read().await? == 0 {
                match length {
                    Some(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    None => break,
                }
            }
        }
        let rest = self.buffer.split_off(length.unwrap_or(self.buffer.len()));
        Ok(text(std::mem::replace(&mut self.buffer, rest)))
    }

    async fn through(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|bytes| bytes == end) {
                let rest = self.buffer.split_off(at + end.len());
                return Ok(text(std::mem::replace(&mut self.buffer, rest)));
            }
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        let (stream, writer) = stream.into_split();
        Self { reader: Reader { stream, buffer: Vec::new() }, writer }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A client's upload.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    pub from: IpAddr,
    pub to: SocketAddr,
    pub path: &'a str,
    pub bytes: usize,
    /// With `Expect: 100-continue`: waits for leave to send the body, or a second.
    pub expects: bool,
}

impl Upload<'_> {
    /// Sends it, and reads while it writes. Stops writing when there is a response.
    pub async fn send(self) -> io::Result<Answer> {
        let Self { from, to, path, bytes, expects } = self;
        let Wire { mut reader, mut writer } = Wire::connect(from, to).await;
        let expect = if expects { "Expect: 100-continue\r\n" } else { "" };
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{expect}Content-Length: {bytes}");
        writer.write_all(format!("{head}\r\n\r\n").as_bytes()).await?;
        if expects {
            let _ = tokio::time::timeout(Duration::from_secs(1), reader.stream.readable()).await;
        }
        let write = async {
            let chunk = vec![b'x'; 1 << 16];
            let mut rest = bytes;
            // After an error there is only the response to wait for.
            while rest > 0 && writer.write_all(&chunk[..rest.min(chunk.len())]).await.is_ok() {
                rest -= rest.min(chunk.len());
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            answer = reader.answer("POST") => answer,
            never = write => never,
        }
    }
}
