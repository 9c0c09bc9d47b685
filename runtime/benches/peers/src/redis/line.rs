//! A line to a server that takes its time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::Result;

/// A proxy that hands on what it reads a fixed time later, in both directions. What is under way at
/// once overlaps, and keeps its order. It lasts as long as the program.
pub(super) struct Line {
    address: SocketAddr,
}

impl Line {
    /// Starts a line to a server that takes `delay` each way.
    pub(super) fn start(server: SocketAddr, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        spawn(move || {
            for client in listener.incoming().flatten() {
                // If the server is gone, the client sees its connection closed.
                if let Ok(server) = TcpStream::connect(server) {
                    let _ = join(&client, &server, delay);
                }
            }
        });
        Ok(Self { address })
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

fn join(client: &TcpStream, server: &TcpStream, delay: Duration) -> std::io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        to.set_nodelay(true)?;
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (sender, receiver) = channel();
        spawn(move || read(from, &sender, delay));
        spawn(move || write(to, &receiver));
    }
    Ok(())
}

/// Puts each chunk on the line, with the time at which it arrives.
fn read(mut from: TcpStream, line: &Sender<(Instant, Vec<u8>)>, delay: Duration) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if line.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, line: &Receiver<(Instant, Vec<u8>)>) {
    for (due, chunk) in line {
        sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&chunk).is_err() {
            break;
        }
    }
    // Either end has closed, so the other one is told.
    let _ = to.shutdown(Shutdown::Both);
}
