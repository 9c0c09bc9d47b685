//! What a policy has counted, and the memory that this takes.

use peak_alloc::PeakAlloc;
use tollgate::testing::ManualClock;
use tollgate::{Limiter, MemoryBackend, Policy};

/// It tells how much is allocated: only so is it known what counters really take.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The counters of a policy's subjects.
pub(crate) struct Counters {
    clock: ManualClock,
    limiter: Limiter,
    /// How many subjects there is room for.
    pub(crate) room: usize,
    /// What they take.
    pub(crate) bytes: usize,
    /// Those that were let go before the limiter that there is now.
    let_go: u64,
    overflowed: u64,
}

/// The subjects whose counters were let go although they were in use, and the requests that found
/// no room.
#[derive(Clone, Copy)]
pub(crate) struct Lost {
    pub(crate) evicted: u64,
    pub(crate) overflowed: u64,
}

impl Counters {
    pub(crate) fn new(room: usize, clock: ManualClock) -> Self {
        let (limiter, bytes) = measured(|| limiter(room, &clock));
        let bytes = 0_usize.saturating_add_signed(bytes);
        Self { clock, limiter, room, bytes, let_go: 0, overflowed: 0 }
    }

    /// Whether a request is admitted.
    #[allow(clippy::expect_used, reason = "memory answers at once, and fails for bursts only")]
    pub(crate) fn admit(&mut self, policy: &Policy, subject: &str) -> bool {
        let (admitted, grown) = measured(|| {
            // The decision takes memory, too, and is gone when this ends.
            let decision = self.limiter.check_now(policy, subject, 1);
            decision.expect("memory makes nobody wait").expect("it has no burst").is_allowed()
        });
        self.bytes = self.bytes.saturating_add_signed(grown);
        admitted
    }

    /// Begins anew, with room for half as many as there are.
    pub(crate) fn halve(&mut self) {
        let held = self.held();
        let Lost { evicted, overflowed } = self.lost();
        (self.let_go, self.overflowed) = (evicted + held as u64, overflowed);
        self.room = (held / 2).max(1);
        let ((), grown) = measured(|| self.limiter = limiter(self.room, &self.clock));
        self.bytes = self.bytes.saturating_add_signed(grown);
    }

    pub(crate) fn lost(&self) -> Lost {
        let now = self.limiter.stats().memory;
        let (evicted, overflowed) = now.map_or((0, 0), |now| (now.evicted, now.overflowed));
        Lost { evicted: self.let_go + evicted, overflowed: self.overflowed + overflowed }
    }

    fn held(&self) -> usize {
        self.limiter.stats().memory.map_or(0, |now| now.keys)
    }
}

fn limiter(room: usize, clock: &ManualClock) -> Limiter {
    Limiter::new(MemoryBackend::builder().max_keys(room).clock(clock.clone()).build())
}

/// By how many bytes more is allocated after it. Nothing else runs meanwhile.
fn measured<T>(work: impl FnOnce() -> T) -> (T, isize) {
    let before = ALLOCATOR.current_usage();
    let done = work();
    (done, ALLOCATOR.current_usage() as isize - before as isize)
}
