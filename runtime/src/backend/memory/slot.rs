//! One subject of one policy.

use std::sync::Arc;

use crate::Outcome;
use crate::Policy;
use crate::Verdict;
use crate::algorithm::{Counters, Micros, Mode};

/// One subject of one policy, in one cache line.
#[repr(align(64))]
pub(super) struct Slot {
    /// The policy by which the counters count.
    policy: Arc<Policy>,
    subject: Text,
    counters: Counters,
    hash: u32,
    /// The least cost that has been refused since one as large was admitted; 0 if none has.
    refused: u32,
}

const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    pub(super) fn new(hash: u32, policy: Arc<Policy>, subject: &str, counters: Counters) -> Self {
        Self { policy, subject: Text::new(subject), counters, hash, refused: 0 }
    }

    #[inline]
    pub(super) fn hash(&self) -> u32 {
        self.hash
    }

    #[inline]
    pub(super) fn is_of(&self, policy: &Policy, subject: &str) -> bool {
        self.subject.is(subject) && self.policy.has_name_of(policy)
    }

    #[inline]
    pub(super) fn decide(
        &mut self,
        policy: &Policy,
        now: Micros,
        cost: u32,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        self.follow(policy, now);
        self.counters.decide(policy, now, cost, mode, verdict);
        if mode == Mode::Charge {
            match verdict.outcome() {
                Outcome::Allowed if self.refused > 0 && cost >= self.refused => self.refused = 0,
                Outcome::Refused { .. } if self.refused == 0 || cost < self.refused => {
                    self.refused = cost;
                }
                // What can never be admitted is refused by its cost, not by these counters.
                Outcome::Allowed | Outcome::Refused { .. } | Outcome::Never => {}
            }
        }
    }

    pub(super) fn note(&mut self, policy: &Policy, now: Micros, cost: u32) {
        self.follow(policy, now);
        self.counters.note(policy, now, cost);
    }

    pub(super) fn refund(
        &mut self,
        policy: &Policy,
        now: Micros,
        stamp: Micros,
        cost: u32,
    ) -> bool {
        self.follow(policy, now);
        self.counters.refund(policy, now, stamp, cost)
    }

    /// Counts by this form of the policy from now on.
    #[inline]
    fn follow(&mut self, policy: &Policy, now: Micros) {
        if !self.policy.is_kept_like(policy) {
            self.fit(policy, now);
        }
    }

    #[cold]
    fn fit(&mut self, policy: &Policy, now: Micros) {
        self.counters.fit(&self.policy, policy, now);
        self.policy = Arc::new(policy.clone());
    }

    /// Whether forgetting it loses nothing.
    pub(super) fn is_whole(&self, now: Micros) -> bool {
        self.counters.empty_at(&self.policy) <= now
    }

    /// How much is used, unless somebody would be refused who has been or who comes now.
    pub(super) fn used_share(&mut self, now: Micros) -> Option<u64> {
        self.counters.used_share(&self.policy, now, self.refused.max(1))
    }
}

/// So many bytes fit into a slot.
const SHORT: usize = 22;

/// The text of a subject.
enum Text {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Text {
    fn new(text: &str) -> Self {
        let text = text.as_bytes();
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(part) => {
                part.copy_from_slice(text);
                // At most 22.
                Self::Short { len: text.len() as u8, bytes }
            }
            None => Self::Long(text.into()),
        }
    }

    #[inline]
    fn is(&self, text: &str) -> bool {
        let text = text.as_bytes();
        match self {
            Self::Short { len, bytes } => {
                usize::from(*len) == text.len()
                    && bytes.get(..text.len()).is_some_and(|bytes| is_same(bytes, text))
            }
            Self::Long(bytes) => **bytes == *text,
        }
    }
}

/// Whether two texts of one length are the same. Most are short: two words hold all of it, which
/// takes less time than the call that compares texts of any length.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one.first_chunk::<8>(), other.first_chunk(), one.last_chunk::<8>(), other.last_chunk()) {
        (Some(first), Some(other_first), Some(last), Some(other_last)) if one.len() <= 16 => {
            first == other_first && last == other_last
        }
        _ => one == other,
    }
}
