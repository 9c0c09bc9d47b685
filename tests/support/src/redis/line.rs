//! A long line between a client and a server: what is sent arrives later, in its order, and more can
//! be on the way at a time.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// On a port of its own, in threads of its own; they end when it is dropped.
pub struct Line {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    server: u16,
    /// How long each way takes.
    way: Duration,
    /// How long the server takes for what comes in one piece, before it takes the next.
    work: Mutex<Duration>,
    /// The requests that are on their way.
    requests: AtomicUsize,
    /// The most of them at a time.
    most: AtomicUsize,
    has_ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Line {
    pub fn start(server: u16, way: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            way,
            work: Mutex::default(),
            requests: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            has_ended: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let thread = spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { port, shared, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Makes the server slow.
    pub fn set_work(&self, work: Duration) {
        *self.shared.work.lock().unwrap() = work;
    }

    /// The requests that are on their way to the server now.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The most requests that were on their way at a time, since this was asked last.
    pub fn most_requests(&self) -> usize {
        self.shared.most.swap(0, Ordering::SeqCst)
    }

    /// Breaks the connections.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // It may have been closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.cut();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.has_ended.load(Ordering::SeqCst) {
                return;
            }
            let client = client.unwrap();
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server)) else {
                continue;
            };
            for (from, to, is_request) in [(&client, &server, true), (&server, &client, false)] {
                from.set_nodelay(true).unwrap();
                let [from, to] = [from, to].map(|stream| stream.try_clone().unwrap());
                let (sender, receiver) = channel();
                let (reads, writes) = (Arc::clone(self), Arc::clone(self));
                spawn(move || reads.read(from, &sender, is_request));
                spawn(move || writes.write(to, &receiver, is_request));
            }
            self.open.lock().unwrap().extend([client, server]);
        }
    }

    fn read(&self, mut from: TcpStream, sender: &Sender<(Instant, Vec<u8>)>, is_request: bool) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count) = from.read(&mut bytes)
            && count > 0
        {
            if is_request {
                let requests = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(requests, Ordering::SeqCst);
            }
            if sender.send((Instant::now() + self.way, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    }

    fn write(&self, mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>, is_request: bool) {
        while let Ok((due, bytes)) = receiver.recv() {
            sleep(due.saturating_duration_since(Instant::now()));
            if is_request {
                let work = *self.work.lock().unwrap();
                sleep(work);
                self.requests.fetch_sub(1, Ordering::SeqCst);
            }
            // What is on its way when the line is cut gets lost.
            let _ = to.write_all(&bytes);
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}
