//! The pace of the calls on one connection: if the next one may leave while others are on their way.
//!
//! A line may be long, or its server slow, and only the first is a reason to send a call behind
//! others: over a long line they would wait for nothing, but at a slow server they had better share
//! a call. The shortest round trip tells how long the line is. Calls that come back about as fast
//! show that the server keeps up, and later ones that it does not.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The maximum number of calls on their way, below the number that the driver takes at once.
pub(super) const MAX_CALLS: usize = 20;
/// The number of calls on their way behind which the next one may follow at once. Above it, calls
/// keep a distance in time, so that many checks still share calls.
const FEW_CALLS: usize = 4;
/// The part of the shortest round trip that is this distance.
const DISTANCE: u32 = MAX_CALLS as u32;

/// What any server needs at least for a call, and for each of its checks. A line is long if its
/// round trip takes more than twice as long as the calls on their way. Over the loopback interface,
/// it does not.
const CALL_WORK: Duration = Duration::from_micros(50);
const CHECK_WORK: Duration = Duration::from_micros(5);

/// The number of answers after which a new connection is known.
const TO_KNOW: u32 = 8;
/// The number of answers after which calls follow each other again once one has left checks to the
/// next, because those behind it have then been decided before them.
const AFTER_DEFERRAL: u32 = 64;
/// The number of calls alone that have to be answered in time until one may follow another again.
const TO_FOLLOW: u32 = 8;
/// The number of answers after which a shortest round trip is forgotten, at the latest twice as many.
const MEMORY: u32 = 512;

/// The bounds of the time after which a connection that has answered nothing may be gone.
const MIN_SILENCE: Duration = Duration::from_millis(1);
const MAX_SILENCE: Duration = Duration::from_millis(100);

/// When the next call may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    Now,
    /// After the next answer. Until then, time changes nothing.
    AfterAnswer,
    /// After the next answer, or with a later check.
    AfterAnswerOrCheck,
}

/// A call on its way.
#[derive(Clone, Copy, Debug)]
struct SentCall {
    sent: Instant,
    /// The time that any server needs for it.
    work: Duration,
    /// `true` if others were on their way before it.
    follows: bool,
}

/// The pace of the calls on one connection.
#[derive(Debug)]
pub(super) struct Pace {
    /// The number of the connection.
    connection: u64,
    calls: VecDeque<SentCall>,
    /// The time at which the last call was sent.
    sent: Option<Instant>,
    answered: Option<Instant>,
    /// The shortest round trip among the last answers, and among those before them.
    shortest: [Option<Duration>; 2],
    answers: u32,
    /// The number of answers that have to come one by one, before calls follow each other.
    to_prove: u32,
    /// The number of calls that may be on their way.
    window: usize,
    /// The number of calls alone that were answered in time since the window became smaller.
    in_time: u32,
    /// The time at which the window became smaller.
    narrowed: Option<Instant>,
}

impl Pace {
    /// Creates the pace of a connection that has answered nothing yet.
    pub(super) fn new(connection: u64) -> Self {
        Self {
            connection,
            calls: VecDeque::new(),
            sent: None,
            answered: None,
            shortest: [None; 2],
            answers: 0,
            to_prove: TO_KNOW,
            window: 2,
            in_time: 0,
            narrowed: None,
        }
    }

    /// Begins anew if this is another connection.
    pub(super) fn connect(&mut self, connection: u64) {
        if self.connection != connection {
            *self = Self::new(connection);
        }
    }

    /// Returns when the next call may leave.
    pub(super) fn departure(&self, now: Instant) -> Departure {
        let Some(first) = self.calls.front() else { return Departure::Now };
        let Some(line) = self.line() else { return Departure::AfterAnswer };
        let work: Duration = self.calls.iter().map(|call| call.work).sum();
        let is_late = now.saturating_duration_since(first.sent) > line * 2;
        if self.to_prove > 0
            || self.calls.len() >= self.window
            || work > line / 2
            || is_late
            || self.is_silent(now)
        {
            return Departure::AfterAnswer;
        }
        let since = self.sent.map_or(line, |sent| now.saturating_duration_since(sent));
        if self.calls.len() >= FEW_CALLS && since < line / DISTANCE {
            return Departure::AfterAnswerOrCheck;
        }
        Departure::Now
    }

    /// Returns `true` if the connection has been silent for a while, so that nobody knows if it is
    /// still there. Over a long line, answers are older.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let line = self.line().filter(|_| self.answers >= TO_KNOW).unwrap_or_default();
        let silence = (line * 8).clamp(MIN_SILENCE, MAX_SILENCE);
        self.answered.is_none_or(|answered| now.saturating_duration_since(answered) >= silence)
    }

    /// Returns `true` if the shortest round trip is known, and shorter than this.
    pub(super) fn is_shorter_than(&self, time: Duration) -> bool {
        self.line().is_some_and(|line| line < time)
    }

    /// Notes that so many calls of the script were sent together, with so many checks.
    pub(super) fn send(&mut self, now: Instant, calls: usize, checks: usize) {
        let [calls, checks] = [calls, checks].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let work =
            CALL_WORK.saturating_mul(calls).saturating_add(CHECK_WORK.saturating_mul(checks));
        self.calls.push_back(SentCall { sent: now, work, follows: !self.calls.is_empty() });
        self.sent = Some(now);
    }

    /// Notes that the first call was answered.
    pub(super) fn answer(&mut self, now: Instant) {
        let Some(call) = self.calls.pop_front() else { return };
        let took = now.saturating_duration_since(call.sent);
        self.answered = Some(now);
        self.to_prove = self.to_prove.saturating_sub(1);
        self.answers = self.answers.saturating_add(1);
        if self.answers.is_multiple_of(MEMORY) {
            self.shortest = [None, self.shortest[0]];
        }
        let shortest = self.shortest[0].map_or(took, |shortest| shortest.min(took));
        self.shortest[0] = Some(shortest);
        let line = self.shortest[1].map_or(shortest, |before| before.min(shortest));
        if took <= line * 3 / 2 {
            self.in_time += 1;
            if call.follows || self.in_time >= TO_FOLLOW {
                self.window = MAX_CALLS.min(self.window + 1);
                self.in_time = 0;
            }
        } else if took > line * 2 {
            self.in_time = 0;
            // Calls that were sent before had no part in the smaller window yet.
            if call.follows && self.narrowed.is_none_or(|narrowed| call.sent >= narrowed) {
                self.window = 1.max(self.window / 2);
                self.narrowed = Some(now);
            }
        }
    }

    /// Notes that the first call was answered only in part: it left checks to the next.
    pub(super) fn defer(&mut self, now: Instant) {
        self.answer(now);
        self.to_prove = self.to_prove.max(AFTER_DEFERRAL);
    }

    /// Notes that the first call failed, or was refused. The next one goes alone.
    pub(super) fn fail(&mut self) {
        self.calls.pop_front();
        self.to_prove = self.to_prove.max(1);
    }

    /// Forgets the calls on their way, because nobody waits for their answers here.
    pub(super) fn abandon(&mut self) {
        if !self.calls.is_empty() {
            self.calls.clear();
            self.to_prove = self.to_prove.max(1);
        }
    }

    /// Returns the shortest round trip; `None` before the first answer.
    fn line(&self) -> Option<Duration> {
        self.shortest.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
