//! A call that waits, with a waker of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tollgate::{Decision, Unavailable};

pub struct Waiter<'a> {
    future: Pin<Box<dyn Future<Output = Result<Decision, Unavailable>> + Send + 'a>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'a> Waiter<'a> {
    /// The call, which is to be polled once, as if it had been woken.
    pub fn new(call: impl Future<Output = Result<Decision, Unavailable>> + Send + 'a) -> Self {
        Self { future: Box::pin(call), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    pub fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }

    pub fn poll(&mut self) -> Poll<Decision> {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker)).map(Result::unwrap)
    }
}
