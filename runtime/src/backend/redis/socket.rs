//! The socket of a connection. It is at home with the task that drives the connection, or lent to a
//! caller in another runtime, which is then woken by its own runtime when the reply comes.
//!
//! At any time one of the two has it, so that neither reads what the other has asked for. The socket
//! is lent for one call at a time and only while no reply is owed. Between two calls it stays
//! registered with the caller's runtime, and comes home as soon as the connection is to be written.

use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redis::io::tcp::socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

/// The time for which nobody looks if the connection is still open, after a reply has come through it.
const JUST_NOW: Duration = Duration::from_micros(100);

/// The last runtime that turned out to have no I/O.
static WITHOUT_IO: Mutex<Option<Id>> = Mutex::new(None);

pub(super) struct Socket {
    state: Mutex<SocketState>,
    /// The runtime of the task that drives the connection.
    home: Handle,
}

struct SocketState {
    place: Whereabouts,
    /// The number of those that wait for a reply at home.
    owed: usize,
    /// `true` if the task that drives the connection waits for the socket, to write.
    is_wanted: bool,
    /// Wakes the task that drives the connection.
    driver: Option<Waker>,
}

enum Whereabouts {
    Home(TcpStream),
    /// Registered with this runtime, but not in use since then.
    Away(TcpStream, Id, Instant),
    Lent,
    Closed,
}

impl Socket {
    /// Creates the socket of a connection that is driven by the present runtime.
    pub(super) fn new(stream: TcpStream) -> Arc<Self> {
        let place = Whereabouts::Home(stream);
        let state = SocketState { place, owed: 0, is_wanted: false, driver: None };
        Arc::new(Self { state: Mutex::new(state), home: Handle::current() })
    }

    /// Returns `false` if the socket is certainly closed. Nobody reads it while it is away, so this
    /// looks.
    pub(super) fn is_open(&self) -> bool {
        let mut state = self.lock();
        match &state.place {
            Whereabouts::Away(stream, ..) if !is_quiet(stream) => {
                state.close();
                false
            }
            Whereabouts::Closed => false,
            _ => true,
        }
    }

    /// Keeps the socket from being lent until the reply to what is sent now is there.
    pub(super) fn owe(self: &Arc<Self>) -> OwedReply {
        self.lock().owed += 1;
        OwedReply(Arc::clone(self))
    }

    /// Lends the socket to a caller in the present runtime, which is the one with this number.
    /// Returns `None` if it is in use, or the runtime has no I/O.
    pub(super) fn lend(self: &Arc<Self>, runtime: Id) -> Option<LentSocket> {
        let mut state = self.lock();
        if state.owed > 0 || *without_io() == Some(runtime) {
            return None;
        }
        let stream = match std::mem::replace(&mut state.place, Whereabouts::Lent) {
            Whereabouts::Away(stream, at, since)
                if at == runtime && (since.elapsed() < JUST_NOW || is_quiet(&stream)) =>
            {
                stream
            }
            Whereabouts::Home(stream) if is_quiet(&stream) => match self.send_away(stream, runtime)
            {
                Ok(stream) => stream,
                Err(place) => {
                    state.place = place;
                    state.wake();
                    return None;
                }
            },
            Whereabouts::Away(stream, ..) if !is_quiet(&stream) => {
                state.close();
                return None;
            }
            other => {
                state.place = other;
                return None;
            }
        };
        let stream = Some((stream, Some(runtime)));
        Some(LentSocket { stream, socket: Some(Arc::clone(self)) })
    }

    /// Registers the stream with the present runtime. On failure, returns where it is then.
    fn send_away(&self, stream: TcpStream, runtime: Id) -> Result<TcpStream, Whereabouts> {
        let parts = stream.into_std().and_then(|stream| Ok((stream.try_clone()?, stream)));
        let Ok((spare, stream)) = parts else { return Err(Whereabouts::Closed) };
        // A runtime without I/O says so only by a panic.
        if let Ok(Ok(stream)) = catch_unwind(AssertUnwindSafe(|| TcpStream::from_std(stream))) {
            return Ok(stream);
        }
        *without_io() = Some(runtime);
        let _home = self.home.enter();
        Err(TcpStream::from_std(spare).map_or(Whereabouts::Closed, Whereabouts::Home))
    }

    /// Lets the task that drives the connection use the stream, after it has brought it home.
    /// Returns `Poll::Pending` while the socket is away; if `fetch` is `true`, only while it is lent.
    fn poll_home<T>(
        &self,
        context: &mut Context<'_>,
        fetch: bool,
        work: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut state = self.lock();
        if !state.driver.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.driver = Some(context.waker().clone());
        }
        if fetch && matches!(state.place, Whereabouts::Away(..)) {
            if let Whereabouts::Away(stream, ..) =
                std::mem::replace(&mut state.place, Whereabouts::Closed)
            {
                state.place =
                    self.bring_home(stream).map_or(Whereabouts::Closed, Whereabouts::Home);
            }
            // The task has to wait for what there is to read, too.
            state.wake();
        }
        state.is_wanted |= fetch && matches!(state.place, Whereabouts::Lent);
        match &mut state.place {
            Whereabouts::Home(stream) => work(Pin::new(stream), context),
            Whereabouts::Away(..) | Whereabouts::Lent => Poll::Pending,
            Whereabouts::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Registers the stream with the runtime that drives the connection.
    fn bring_home(&self, stream: TcpStream) -> io::Result<TcpStream> {
        let stream = stream.into_std()?;
        let _home = self.home.enter();
        TcpStream::from_std(stream)
    }

    fn lock(&self) -> MutexGuard<'_, SocketState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SocketState {
    fn close(&mut self) {
        self.place = Whereabouts::Closed;
        self.wake();
    }

    fn wake(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }
}

/// A reply that is owed at home. If it never comes, the socket is never lent again.
pub(super) struct OwedReply(Arc<Socket>);

impl OwedReply {
    /// Notes that the reply is there.
    pub(super) fn paid(self) {
        self.0.lock().owed -= 1;
    }
}

/// A socket in the hands of one call. Unless it is given back, it is closed.
pub(super) struct LentSocket {
    /// The stream, and the runtime with which it is registered; `None` for its home.
    stream: Option<(TcpStream, Option<Id>)>,
    /// `None` once it has been given back.
    socket: Option<Arc<Socket>>,
}

impl LentSocket {
    pub(super) fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.stream {
            Some((stream, _)) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Registers the socket with the runtime that drives its connection, so that the call no longer
    /// depends on the caller's.
    pub(super) fn bring_home(&mut self) -> io::Result<()> {
        if let (Some((stream, _)), Some(socket)) = (self.stream.take(), &self.socket) {
            self.stream = Some((socket.bring_home(stream)?, None));
        }
        Ok(())
    }

    /// Gives the socket back, after the call's reply has been read as a whole.
    pub(super) fn give_back(mut self) {
        let (Some((stream, runtime)), Some(socket)) = (self.stream.take(), self.socket.take())
        else {
            return;
        };
        let mut state = socket.lock();
        state.place = match runtime {
            Some(runtime) => Whereabouts::Away(stream, runtime, Instant::now()),
            None => Whereabouts::Home(stream),
        };
        if std::mem::take(&mut state.is_wanted) || runtime.is_none() {
            state.wake();
        }
    }
}

impl Drop for LentSocket {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            socket.lock().close();
        }
    }
}

/// The stream of the task that drives the connection.
pub(super) struct HomeStream(pub(super) Arc<Socket>);

impl AsyncRead for HomeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_home(context, false, |stream, context| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for HomeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_home(context, true, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has no buffer of its own.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_home(context, true, |stream, context| stream.poll_shutdown(context))
    }
}

/// Returns `true` if the connection is open and nobody has said anything.
fn is_quiet(stream: &TcpStream) -> bool {
    let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn without_io() -> MutexGuard<'static, Option<Id>> {
    WITHOUT_IO.lock().unwrap_or_else(PoisonError::into_inner)
}
