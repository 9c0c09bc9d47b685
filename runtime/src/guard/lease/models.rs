//! Models of the leases: units that are charged in advance, while the checks that wait for them are given
//! up, refunded and reset, and the lease ends.

use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng as _, thread_rng};

use super::*;
use crate::backend::Backend;
use crate::exploration::{SteppedClock, explore, pause};
use crate::{Algorithm, MemoryBackend, Outcome, Quota};

const LIMIT: u32 = 60;
/// The units by which the key is hot from the start on.
const BEFORE: u32 = 12;
const HOLD: Duration = Duration::from_secs(1);
static POLICY: Policy = Policy::new("p", Quota::new(LIMIT, Duration::from_secs(3_600)))
    .algorithm(Algorithm::FixedWindow);

fn check(cost: u32) -> Check<'static> {
    Check::new(&POLICY, "s", cost)
}

/// A store to which each call takes a while, as to a server, and a reset takes longest.
struct DistantStore(Arc<MemoryBackend>);

impl Store for DistantStore {
    fn charge_now(&self, _: &Check<'_>, _: &mut Verdict) -> Option<Result<(), BackendError>> {
        None
    }

    fn apply_now(&self, _: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        None
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(async move {
            let is_reset = |operation: &Operation<'_>| operation.action == Action::Reset;
            let most = if batch.iter().any(is_reset) { 40 } else { 2 };
            for _ in 0..thread_rng().gen_range(1..most) {
                yield_now().await;
            }
            let answers = Backend::apply(&*self.0, batch).await;
            for _ in 0..thread_rng().gen_range(1..40) {
                yield_now().await;
            }
            answers
        })
    }
}

/// A guard with a key for which a lease is worth its while.
struct Leasing {
    lease: Arc<Lease>,
    backend: Arc<MemoryBackend>,
    clock: SteppedClock,
}

impl Leasing {
    fn new() -> Self {
        let clock = SteppedClock::new();
        let backend = Arc::new(MemoryBackend::builder().max_keys(2).clock(clock.clone()).build());
        let store = DistantStore(Arc::clone(&backend));
        let lease = Lease::new(Box::new(store), Arc::new(clock.clone()), 2, 10, HOLD);
        let leasing = Self { lease: Arc::new(lease), backend, clock };
        for _ in 0..2 {
            let charge = Operation::charge(check(BEFORE / 2));
            assert!(block_on(leasing.lease.one(&charge)).is_ok());
        }
        leasing
    }

    /// Returns the units that the store counts.
    fn in_use(&self) -> u32 {
        let answer = Backend::apply_now(&*self.backend, &Operation::peek(check(1)));
        LIMIT - answer.unwrap().unwrap().verdict().unwrap().quotas()[0].remaining()
    }

    fn close(&self) {
        block_on(self.lease.close());
    }
}

/// Charges one unit. Returns the stamp of the charge.
async fn charge(lease: Arc<Lease>) -> u64 {
    let verdict = lease.one(&Operation::charge(check(1))).await.unwrap().verdict().unwrap();
    assert_eq!(verdict.outcome(), Outcome::Allowed);
    verdict.stamp_micros()
}

/// All who stay have a unit, and the store counts these units and no other in the end.
#[test]
fn units_of_who_gives_up_are_not_lost() {
    explore(|| {
        let leasing = Leasing::new();
        let callers = [(); 3].map(|()| spawn(charge(Arc::clone(&leasing.lease))));
        pause();
        callers[0].abort();
        let admitted = callers.map(block_on).iter().filter(|caller| caller.is_ok()).count() as u32;
        assert!(admitted >= 2);
        leasing.close();
        assert_eq!(leasing.in_use(), BEFORE + admitted);
    });
}

/// A refund goes to the lease or to the store, and is not lost either.
#[test]
fn a_refund_is_made_once() {
    explore(|| {
        let leasing = Leasing::new();
        let refunding = |lease: Arc<Lease>| async move {
            let stamp = charge(Arc::clone(&lease)).await;
            match lease.one(&Operation::refund(check(1), stamp)).await {
                Ok(Answer::Refunded(is_refunded)) => is_refunded,
                other => panic!("{other:?}"),
            }
        };
        let staying = [(); 2].map(|()| spawn(charge(Arc::clone(&leasing.lease))));
        let refunding = spawn(refunding(Arc::clone(&leasing.lease)));
        staying.into_iter().for_each(|caller| _ = block_on(caller).unwrap());
        let refunded = u32::from(block_on(refunding).unwrap());
        leasing.close();
        assert_eq!(leasing.in_use(), BEFORE + 3 - refunded);
        assert_eq!(refunded, 1);
    });
}

/// The lease ends while it is spent. The units that are left go back to the store.
#[test]
fn a_lease_that_ends_is_returned() {
    explore(|| {
        let leasing = Leasing::new();
        let callers = [(); 3].map(|()| spawn(charge(Arc::clone(&leasing.lease))));
        pause();
        leasing.clock.advance(HOLD);
        callers.into_iter().for_each(|caller| _ = block_on(caller).unwrap());
        leasing.close();
        assert_eq!(leasing.in_use(), BEFORE + 3);
    });
}

/// A limiter that is closed leases no more, and returns what it has leased.
#[test]
fn closing_returns_what_is_leased() {
    explore(|| {
        let leasing = Leasing::new();
        let callers = [(); 2].map(|()| spawn(charge(Arc::clone(&leasing.lease))));
        pause();
        leasing.close();
        callers.into_iter().for_each(|caller| _ = block_on(caller).unwrap());
        assert_eq!(leasing.in_use(), BEFORE + 2);
    });
}

/// Units that are spent after a reset has ended are counted by the store after it. Those that were leased
/// while it was on its way may stay charged: nobody knows which of the two came first.
#[test]
fn nothing_is_spent_that_a_reset_has_removed() {
    explore(|| {
        let leasing = Leasing::new();
        let resetting = |lease: Arc<Lease>| async move {
            assert!(lease.one(&Operation::reset(check(0))).await.is_ok());
            charge(Arc::clone(&lease)).await;
            charge(lease).await;
        };
        let several = |lease: Arc<Lease>| async move {
            charge(Arc::clone(&lease)).await;
            charge(Arc::clone(&lease)).await;
            charge(lease).await;
        };
        let callers = [(); 2].map(|()| spawn(several(Arc::clone(&leasing.lease))));
        let resetting = spawn(resetting(Arc::clone(&leasing.lease)));
        callers.into_iter().for_each(|caller| block_on(caller).unwrap());
        block_on(resetting).unwrap();
        leasing.close();
        assert!(leasing.in_use() >= 2);
    });
}
