//! What is told to the observer, a line of text each.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds by the clock of the machine, which all processes share.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A process serves HTTP at this port.
    Listens {
        worker: usize,
        port: u16,
    },
    Call(Call),
    Holds {
        lane: usize,
        subject: u64,
        id: u64,
        worker: usize,
        at: u64,
    },
    Frees {
        lane: usize,
        subject: u64,
        id: u64,
        at: u64,
    },
    Cut(Cut),
    Fault {
        kind: String,
        from: u64,
        to: u64,
        recovery: u64,
    },
    Blocks {
        on: bool,
        at: u64,
    },
    Tick(Tick),
    /// A process is killed.
    Dies {
        worker: usize,
        at: u64,
    },
    /// An error's text.
    Error(String),
    Wrong(String),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    Admitted,
    Refused,
    Banned,
    Never,
    Blocked,
    Unavailable,
    GivenUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum By {
    Store,
    Near,
    Local,
    Open,
    Nobody,
}

/// A request, from before it to after its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) worker: usize,
    pub(crate) lane: usize,
    pub(crate) subject: u64,
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    pub(crate) told: Told,
    pub(crate) by: By,
    pub(crate) cost: u32,
    /// The units that stay let through: none of a request that is refunded.
    pub(crate) units: u32,
    /// The wait that a refusal tells.
    pub(crate) wait: u64,
    /// The place at which it joined a line, where the order is known.
    pub(crate) place: Option<u64>,
    /// A request that comes when a refusal has told it to.
    pub(crate) again: bool,
    /// The time that it may take.
    pub(crate) most: u64,
}

/// A time from which on a subject may know less than was admitted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cut {
    /// All, if there is none.
    pub(crate) of: Option<(usize, u64)>,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// How far back it may forget.
    pub(crate) forgets: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) worker: usize,
    pub(crate) at: u64,
    pub(crate) is_closed: bool,
    pub(crate) last_answer: u64,
    pub(crate) tasks: usize,
    pub(crate) files: usize,
    pub(crate) memory: usize,
}
