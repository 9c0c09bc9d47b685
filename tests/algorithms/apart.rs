//! What one subject does is no other's business.

use tollgate::Algorithm;

use crate::reference::Numbers;
use crate::subject::{Subject, for_all_six};

fn reset_and_refund_touch_one_subject_only(algorithm: Algorithm) {
    let subject = Subject::new(algorithm, &[Numbers::new(1, 60_000_000)]);
    let mine = subject.check(1);
    assert!(mine.is_allowed() && subject.check_of("other", 1).is_allowed());
    assert!(subject.refund(mine));
    assert!(!subject.check_of("other", 1).is_allowed());
    assert!(subject.check(1).is_allowed());
    subject.reset();
    assert!(!subject.check_of("other", 1).is_allowed());
    assert!(subject.check(1).is_allowed());
    assert!(!subject.check(1).is_allowed());
}

for_all_six!(reset_and_refund_touch_one_subject_only);
