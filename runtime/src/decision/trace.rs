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
use crate::refused_by::{RefusedBy, ResponseOptions};

/// The number of boxes that a thread keeps.
const SPARES: usize = 32;
/// The number of refusals that a thread keeps.
const REFUSALS: usize = 4;

thread_local! {
    /// Boxes without a trace in them.
    static SPARE: RefCell<ArrayVec<Box<Trace>, SPARES>> = const { RefCell::new(ArrayVec::new_const()) };
    /// Boxes with the refusals of decisions that were dropped. The next one of the same limiter uses its
    /// options again: all threads would otherwise write the count of their users at every refusal.
    static REFUSED: RefCell<ArrayVec<Box<Trace>, REFUSALS>> = const { RefCell::new(ArrayVec::new_const()) };
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

    /// Sets the trace of a decision that has none yet to a refusal by `policy`.
    #[inline(never)]
    pub(super) fn set_refusal(&mut self, policy: &Policy, options: &ResponseOptions) {
        debug_assert!(self.0.is_none(), "there is a trace already");
        let kept = REFUSED.try_with(|refused| refused.borrow_mut().pop()).ok().flatten();
        let mut place = kept.unwrap_or_else(spare);
        match &mut *place {
            Trace::Refusal(by) if by.options.are(options) => by.policy = policy.clone(),
            other => {
                let (policy, options) = (policy.clone(), options.clone());
                *other = Trace::Refusal(RefusedBy { policy, options });
            }
        }
        self.0 = Some(place);
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
            if matches!(*trace, Trace::Refusal(_)) {
                return keep_refusal(trace);
            }
            *trace = Trace::Nothing;
            // At the end of a thread its boxes are gone.
            let _ = SPARE.try_with(|spare| {
                let _ = spare.borrow_mut().try_push(trace);
            });
        }
    }
}

#[inline(never)]
fn keep_refusal(trace: Box<Trace>) {
    // If the thread has enough, or is at its end, the box is gone.
    let _ = REFUSED.try_with(|refused| {
        let _ = refused.borrow_mut().try_push(trace);
    });
}

/// Returns a box that the thread has kept, or a new one.
#[inline]
fn spare() -> Box<Trace> {
    let kept = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| Box::new(Trace::Nothing))
}
