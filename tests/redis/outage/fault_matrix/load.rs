//! Callers that check many keys until they are stopped, and note what each call was told and when.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tollgate::{Decision, Limiter, Policy, Quota, Source, Unavailable};

use super::DEADLINE;
use support::redis::eventually;

const CALLERS: usize = 6;

/// The time between two calls of a caller: a service does other things as well.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// A limit that no load reaches, so that every check is a charge: its keys tell what was charged.
pub(super) const AMPLE: Policy =
    Policy::new("ample", Quota::new(1_000_000, Duration::from_secs(86_400)));
pub(super) const AMPLE_KEYS: usize = 12;

/// A limit that the load exceeds all the time: its keys tell what was let through. Its window is
/// longer than most faults, so what a fault makes a server forget is let through in the same one.
pub(super) const TIGHT: Policy = Policy::new("tight", Quota::new(20, TIGHT_PERIOD));
pub(super) const TIGHT_PERIOD: Duration = Duration::from_secs(2);
pub(super) const TIGHT_KEYS: usize = 3;

/// One check, and its end.
pub(super) struct Call {
    pub(super) is_ample: bool,
    pub(super) key: usize,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) told: Told,
    /// The lateness of a call that took longer than its deadline.
    pub(super) lateness: Option<Lateness>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Admitted,
    Refused,
    /// Nobody knows if it was charged.
    Unknown,
    /// It certainly was not charged.
    NotExecuted,
}

/// The lateness of a bare timer of the same deadline in the same task, and that of the call after it.
#[derive(Clone, Copy)]
pub(super) struct Lateness {
    pub(super) bare: Duration,
    pub(super) call: Duration,
}

impl Call {
    /// Returns `true` if the store has answered.
    fn is_answered(&self) -> bool {
        matches!(self.told, Told::Admitted | Told::Refused)
    }
}

pub(super) struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<Call>>>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the callers. Their keys begin with `cell`.
    pub(super) fn start(runtime: &Runtime, limiter: &Limiter, cell: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let callers = (0..CALLERS).map(|caller| {
            let (limiter, calls, stop) = (limiter.clone(), calls.clone(), stop.clone());
            let cell = cell.to_owned();
            runtime.spawn(async move {
                let mut round = caller;
                while !stop.load(Ordering::Relaxed) {
                    let is_ample = round % 2 == 0;
                    let keys = if is_ample { AMPLE_KEYS } else { TIGHT_KEYS };
                    let key = round / 2 % keys;
                    let call = call(&limiter, is_ample, key, &subject(&cell, key)).await;
                    calls.lock().unwrap().push(call);
                    round += CALLERS + 1;
                    tokio::time::sleep(PAUSE).await;
                }
            })
        });
        let callers = callers.collect();
        Self { stop, calls, callers }
    }

    fn count(&self, counts: impl Fn(&Call) -> bool) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| counts(call)).count()
    }

    /// Waits until many more checks have been answered.
    pub(super) fn goes_on(&self) {
        let since = Instant::now();
        let answered = |call: &Call| call.is_ample && call.is_answered() && call.begun > since;
        eventually("checks are answered", || self.count(answered) >= 2 * AMPLE_KEYS);
    }

    /// Waits until many have failed since the fault began.
    pub(super) fn feels(&self, begun: Instant) {
        let failed = |call: &Call| !call.is_answered() && call.ended > begun;
        eventually("the fault is felt", || self.count(failed) >= 40);
    }

    /// Waits until every key has been answered by a check that ended after the fault.
    pub(super) fn heals(&self, fault: &str, ended: Instant) {
        eventually(&format!("{fault} heals"), || {
            let calls = self.calls.lock().unwrap();
            (0..AMPLE_KEYS).all(|key| first_answer(&calls, key, ended).is_some())
        });
    }

    pub(super) fn stop(self, runtime: &Runtime) -> Vec<Call> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            runtime.block_on(caller).unwrap();
        }
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

pub(super) fn subject(cell: &str, key: usize) -> String {
    format!("{cell}-{key}")
}

/// Returns the time from the end of a fault until a key's first answer.
pub(super) fn first_answer(calls: &[Call], key: usize, ended: Instant) -> Option<Duration> {
    let of_key = |call: &&Call| call.is_ample && call.key == key && call.ended > ended;
    let answered = calls.iter().filter(of_key).filter(|call| call.is_answered());
    answered.map(|call| call.ended - ended).min()
}

/// Checks once, beside a bare timer in the same task. The timer begins when the check has begun, so a
/// check that keeps its deadline never ends after it, however late the machine lets both run.
async fn call(limiter: &Limiter, is_ample: bool, key: usize, subject: &str) -> Call {
    let begun = Instant::now();
    let policy = if is_ample { &AMPLE } else { &TIGHT };
    let mut check = pin!(limiter.check(policy, subject));
    let (answer, lateness) =
        match poll_fn(|context| Poll::Ready(check.as_mut().poll(context))).await {
            Poll::Ready(answer) => (answer, None),
            Poll::Pending => {
                let due = Instant::now() + DEADLINE;
                tokio::select! {
                    biased;
                    answer = &mut check => (answer, None),
                    () = tokio::time::sleep_until(due.into()) => {
                        let fired = Instant::now();
                        let answer = check.await;
                        (answer, Some(Lateness { bare: fired - due, call: fired.elapsed() }))
                    }
                }
            }
        };
    Call { is_ample, key, begun, ended: Instant::now(), told: told(&answer), lateness }
}

fn told(answer: &Result<Decision, Unavailable>) -> Told {
    match answer {
        Ok(decision) if decision.is_allowed() => {
            assert_eq!(decision.source(), Source::Store);
            Told::Admitted
        }
        Ok(_) => Told::Refused,
        // The words by which a certain failure is told.
        Err(error) if format!("{error:?}").contains("did not act") => Told::NotExecuted,
        Err(_) => Told::Unknown,
    }
}
