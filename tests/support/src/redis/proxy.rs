//! What stands between a client and a server, and does to them what networks do.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What goes wrong. Where it is about a request, that is one that calls a script: connections can
/// still be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nobody listens, and what was open is closed.
    Refuse,
    /// Connections are accepted, and nothing ever comes through them, not even later.
    Hang,
    /// The server's side of what is open is closed, and the client is never told, not even later.
    /// New connections work.
    HalfOpen,
    /// What is open, and what is accepted, is reset.
    Reset,
    /// The connection is closed when a request comes; the server never sees it.
    DropRequest,
    /// The connection is closed when the server has worked and replied.
    DropReply,
    /// Half of the reply comes.
    CutReply,
    /// Replies take this long.
    Delay(Duration),
    /// Replies come byte by byte, this long apart. The rest comes at once when that is over.
    Trickle(Duration),
}

/// On a port of its own, in a thread of its own; it ends when it is dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    /// Its end ends the thread.
    fault: Option<watch::Sender<Fault>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    server: AtomicU16,
    connections: AtomicU64,
    requests: AtomicU64,
    /// The connections that are open.
    open: AtomicU64,
    /// The connections that hang, also when all is well again.
    hanging: AtomicU64,
    /// The replies that are late.
    late: AtomicU64,
}

impl Proxy {
    /// In front of the server at a port.
    pub fn start(server: u16) -> Self {
        let proxy = Self::start_alone();
        proxy.leads_to(server);
        proxy
    }

    /// In front of nothing yet.
    pub fn start_alone() -> Self {
        let shared = Arc::new(Shared::default());
        let (fault, faults) = watch::channel(Fault::None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(async { listen(0) });
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || runtime.block_on(accept(listener, shared, faults))
        });
        Self { port, shared, fault: Some(fault), thread: Some(thread) }
    }

    pub fn leads_to(&self, server: u16) {
        self.shared.server.store(server, Ordering::SeqCst);
    }

    /// From now on. The last fault is over when it listens again and what was late has come.
    pub fn set(&self, fault: Fault) {
        self.fault.as_ref().unwrap().send_replace(fault);
        let listens = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
        let none = |count: &AtomicU64| count.load(Ordering::SeqCst) == 0;
        match fault {
            Fault::None => {
                super::eventually("all is well again", || none(&self.shared.late) && listens());
            }
            Fault::Refuse => {
                super::eventually("nobody listens", || none(&self.shared.open) && !listens());
            }
            _ => {}
        }
    }

    /// Forgets the connections that are open, and tells nobody, as a network does that forgets idle
    /// ones: nothing comes through them any more. New ones work.
    pub fn forget_open(&self) {
        self.fault.as_ref().unwrap().send_replace(Fault::Hang);
        let count = |count: &AtomicU64| count.load(Ordering::SeqCst);
        super::eventually("all open connections hang", || {
            count(&self.shared.hanging) == count(&self.shared.open)
        });
        self.set(Fault::None);
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The connections and requests that have come so far.
    pub fn seen(&self) -> u64 {
        let Shared { connections, requests, .. } = &*self.shared;
        connections.load(Ordering::SeqCst) + requests.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.fault = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(port: u16) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
    socket.listen(1_024).unwrap()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut faults: watch::Receiver<Fault>) {
    let port = listener.local_addr().unwrap().port();
    let mut listener = Some(listener);
    loop {
        if *faults.borrow_and_update() == Fault::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(listen(port));
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                let (client, _) = accepted.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, faults) = (Arc::clone(&shared), faults.clone());
                shared.open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    // A connection that breaks is what this is for.
                    let _ = carry(client, &shared, faults).await;
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
            changed = faults.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries what comes to and fro until somebody closes it, or a fault does.
async fn carry(
    mut client: TcpStream,
    shared: &Shared,
    mut faults: watch::Receiver<Fault>,
) -> std::io::Result<()> {
    let mut server =
        TcpStream::connect((Ipv4Addr::LOCALHOST, shared.server.load(Ordering::SeqCst))).await?;
    let (mut asked, mut told) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let (mut is_script, mut is_open) = (false, false);
    loop {
        // A connection that is new knows the fault that there is.
        let has_begun = is_open && faults.has_changed().unwrap_or(true);
        let fault = *faults.borrow_and_update();
        match fault {
            Fault::HalfOpen if !has_begun => {}
            Fault::Hang | Fault::HalfOpen => {
                if fault == Fault::HalfOpen {
                    drop(server);
                }
                shared.hanging.fetch_add(1, Ordering::SeqCst);
                let hung = hang(&mut client, shared, faults).await;
                shared.hanging.fetch_sub(1, Ordering::SeqCst);
                return hung;
            }
            Fault::Reset => return client.set_zero_linger(),
            Fault::Refuse => return Ok(()),
            _ => {}
        }
        is_open = true;
        tokio::select! {
            changed = has_changed(faults.clone()) => if changed.is_err() { return Ok(()) },
            read = client.read(&mut asked) => {
                let request = &asked[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                shared.requests.fetch_add(1, Ordering::SeqCst);
                let fault = *faults.borrow();
                if fault == Fault::Hang {
                    continue;
                }
                is_script = request.windows(7).any(|word| word == b"EVALSHA");
                if is_script && fault == Fault::DropRequest {
                    return Ok(());
                }
                server.write_all(request).await?;
            }
            read = server.read(&mut told) => {
                let reply = &told[..read?];
                let fault = *faults.borrow();
                match fault {
                    Fault::Hang => {}
                    _ if reply.is_empty() => return Ok(()),
                    Fault::DropReply if is_script => return Ok(()),
                    Fault::CutReply if is_script => {
                        return client.write_all(&reply[..reply.len() / 2]).await;
                    }
                    Fault::Delay(_) | Fault::Trickle(_) => {
                        shared.late.fetch_add(1, Ordering::SeqCst);
                        let told = tell_late(&mut client, reply, faults.clone()).await;
                        shared.late.fetch_sub(1, Ordering::SeqCst);
                        told?;
                    }
                    _ => client.write_all(reply).await?,
                }
            }
        }
    }
}

/// Waits for the next fault, which stays to be seen.
async fn has_changed(mut faults: watch::Receiver<Fault>) -> Result<(), watch::error::RecvError> {
    faults.changed().await
}

async fn tell_late(
    client: &mut TcpStream,
    reply: &[u8],
    mut faults: watch::Receiver<Fault>,
) -> std::io::Result<()> {
    let fault = *faults.borrow_and_update();
    if let Fault::Delay(span) = fault {
        tokio::time::sleep(span).await;
    }
    let Fault::Trickle(span) = fault else { return client.write_all(reply).await };
    for at in 0..reply.len() {
        client.write_all(&reply[at..=at]).await?;
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            _ = faults.changed() => return client.write_all(&reply[at + 1..]).await,
        }
    }
    Ok(())
}

/// Takes what comes, and never says anything, until nobody listens any more.
async fn hang(
    client: &mut TcpStream,
    shared: &Shared,
    mut faults: watch::Receiver<Fault>,
) -> std::io::Result<()> {
    let mut asked = vec![0; 1 << 16];
    loop {
        tokio::select! {
            // Its end is that of the proxy.
            _ = faults.wait_for(|fault| *fault == Fault::Refuse) => return Ok(()),
            read = client.read(&mut asked) => {
                if read? == 0 {
                    return Ok(());
                }
                shared.requests.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}
