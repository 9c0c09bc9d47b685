//! What one subject does is no other's business.

use tollgate::Algorithm;

use support::reference::{Numbers, for_all_six};
use support::subject::Subject;

fn reset_and_refund_touch_one_subject_only(algorithm: Algorithm) {
    let subject = Subject::new(algorithm, &[Numbers::new(1, 60_000_000)]);
    let mine = subject.check(1);
    // Enough that some lie beside it in the store, wherever it lies.
    let others: Vec<String> = (0..2_000).map(|other| other.to_string()).collect();
    assert!(mine.is_allowed());
    assert!(others.iter().all(|other| subject.check_of(other, 1).is_allowed()));
    let others_are_spent = || others.iter().all(|other| !subject.check_of(other, 1).is_allowed());

    assert!(subject.refund(mine));
    assert!(others_are_spent());
    assert!(subject.check(1).is_allowed());
    subject.reset();
    assert!(others_are_spent());
    assert!(subject.check(1).is_allowed());
    assert!(!subject.check(1).is_allowed());
}

for_all_six!(reset_and_refund_touch_one_subject_only);
