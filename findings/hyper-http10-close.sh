#!/usr/bin/env bash
# hyper: a server's `Connection: close` and a client that asks for keep-alive by HTTP/1.0.
#
# A service of hyper responds with `Connection: close`, and leaves the response's version at its
# default, HTTP/1.1, as most services do. A client of HTTP/1.0 has sent `Connection: keep-alive`.
#
#   hyper 1.8.1   the field is replaced by `keep-alive`, and the connection stays open: the server's
#                 word is lost.
#   hyper 1.12.0  the response has both words, `close, keep-alive`, and the connection is closed.
#
# A client of HTTP/1.1 gets `close`, and the connection is closed, in both versions. It helps to set
# the response's version to that of the request: then hyper adds nothing.
#
# Seen on Linux; needs cargo (Rust 1.85 or later) and the network. Fails if hyper behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"

cat >"$folder/src/main.rs" <<'RUST'
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for version in ["1.0", "1.1"] {
        let (mut client, server) = tokio::io::duplex(4096);
        let service = service_fn(|_| async {
            let mut response = Response::new(Full::new(Bytes::from_static(b"bye")));
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            Ok::<_, Infallible>(response)
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let asking = async {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"bye") {
                client.read_buf(&mut answer).await.unwrap();
            }
            let end = client.read_buf(&mut answer);
            let end = tokio::time::timeout(Duration::from_secs(1), end).await;
            drop(client);
            let answer = String::from_utf8(answer).unwrap().to_lowercase();
            let field = answer.lines().find(|line| line.starts_with("connection"));
            let end = if end.is_ok() { "closed" } else { "open" };
            println!("HTTP/{version}: {}; {end}", field.unwrap_or("no field"));
        };
        tokio::join!(asking, serving).1.unwrap();
    }
}
RUST

run() { # HYPER HYPER_UTIL
  cat >"$folder/Cargo.toml" <<TOML
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
bytes = "1"
http-body-util = "=0.1.3"
hyper = { version = "=$1", features = ["http1", "server"] }
hyper-util = { version = "=$2", features = ["tokio"] }
tokio = { version = "1", features = ["io-util", "macros", "net", "rt", "time"] }
TOML
  rm -f "$folder/Cargo.lock"
  (cd "$folder" && cargo run --quiet)
}

expect() { # HYPER HYPER_UTIL EXPECTED
  local seen
  seen=$(run "$1" "$2")
  printf 'hyper %s\n%s\n' "$1" "$seen"
  [ "$seen" = "$3" ] || { printf 'this was:\n%s\n' "$3" >&2; exit 1; }
}

expect 1.8.1 0.1.19 'HTTP/1.0: connection: keep-alive; open
HTTP/1.1: connection: close; closed'
expect 1.12.0 0.1.21 'HTTP/1.0: connection: close, keep-alive; closed
HTTP/1.1: connection: close; closed'
