//! The trace that a decision keeps of its check.
//!
//! It contains a policy, so it is large, and a decision is moved several times on its way to the
//! caller, which would take longer than the check. So the trace has a place of its own, in a box.
//! Each thread keeps some boxes of decisions that were dropped, so that checks do not allocate any.

use std::cell::RefCell;
use std::mem;

use arrayvec::ArrayVec;
use smol_str::SmolStr;

use super::ChargeOrigin;
use crate::Policy;
use crate::refused_by::RefusedBy;

/// The number of boxes that a thread keeps.
const SPARES: usize = 32;

thread_local! {
    /// Boxes without a trace in them.
    static SPARE: RefCell<ArrayVec<Box<Trace>, SPARES>> = const { RefCell::new(ArrayVec::new_const()) };
}

/// The part of a check that its decision keeps.
#[derive(Debug)]
pub(super) enum Trace {
    Nothing,
    /// The charge, to refund it.
    Charge(Charge),
    /// The limit that refused, to answer the refusal.
    Refusal(RefusedBy),
}

/// The charge of a decision that can be refunded. The verdict contains the rest of its
/// [`Receipt`](super::Receipt).
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) policy: Policy,
    pub(super) subject: SmolStr,
    pub(super) cost: u32,
    pub(super) origin: ChargeOrigin,
}

/// A trace, or none.
#[derive(Debug, Default)]
pub(super) struct TraceBox(Option<Box<Trace>>);

impl TraceBox {
    /// Sets the trace of a decision that has none yet. `trace` is called last, so that its value is made
    /// where it stays.
    #[inline(always)]
    pub(super) fn set(&mut self, trace: impl FnOnce() -> Trace) {
        let place = &mut **self.0.get_or_insert_with(spare);
        debug_assert!(matches!(place, Trace::Nothing), "there is a trace already");
        // There is nothing to drop, which the compiler cannot know.
        mem::forget(mem::replace(place, trace()));
    }

    pub(super) fn get(&self) -> Option<&Trace> {
        self.0.as_deref()
    }

    pub(super) fn into_trace(mut self) -> Option<Trace> {
        self.0.as_deref_mut().map(|trace| mem::replace(trace, Trace::Nothing))
    }
}

impl Drop for TraceBox {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut trace) = self.0.take() {
            *trace = Trace::Nothing;
            // At the end of a thread its boxes are gone.
            let _ = SPARE.try_with(|spare| {
                let _ = spare.borrow_mut().try_push(trace);
            });
        }
    }
}

/// Returns a box that the thread has kept, or a new one.
#[inline]
fn spare() -> Box<Trace> {
    let kept = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| Box::new(Trace::Nothing))
}
