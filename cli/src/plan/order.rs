//! Lines are written when a request ends but say when it began, so they are a little out of order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many lines may pass before one that belongs before them.
const ROOM: usize = 4096;

/// Puts lines in order, so far as they are no more than [`ROOM`] lines late.
#[derive(Default)]
pub(crate) struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// When the last one was that was let go.
    newest: u64,
    arrived: u64,
    /// The lines that came too late, and are left out.
    pub(crate) late: u64,
}

/// By time, then as they were written.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    micros: u64,
    arrived: u64,
    subject: String,
}

impl Order {
    /// Takes a line and calls `next` with the line whose turn it is, if there are enough.
    pub(crate) fn push(&mut self, micros: u64, subject: &str, next: impl FnMut(u64, &str)) {
        if micros < self.newest {
            self.late += 1;
            return;
        }
        self.arrived += 1;
        let subject = subject.to_owned();
        self.waiting.push(Reverse(Waiting { micros, arrived: self.arrived, subject }));
        self.release(ROOM, next);
    }

    /// Calls `next` with all the rest.
    pub(crate) fn finish(&mut self, next: impl FnMut(u64, &str)) {
        self.release(0, next);
    }

    fn release(&mut self, keep: usize, mut next: impl FnMut(u64, &str)) {
        while self.waiting.len() > keep {
            let Some(Reverse(first)) = self.waiting.pop() else { return };
            self.newest = first.micros;
            next(first.micros, &first.subject);
        }
    }
}
