//! Eight threads at once, on a clock that stands: each key admits what it may, to the unit.

use std::sync::Barrier;
use std::thread;

use tollgate::Algorithm;

use support::reference::{Numbers, for_all_six, has_bucket};
use support::scaled;
use support::subject::Subject;

const THREADS: usize = 8;
const MINUTE: u64 = 60_000_000;

/// What each of `keys` admits when every thread asks `attempts` times for one unit of each.
fn admitted(subject: &Subject, keys: &[String], attempts: usize) -> Vec<u64> {
    let barrier = Barrier::new(THREADS);
    let of_one_thread = || {
        barrier.wait();
        let count = |key: &String| {
            (0..attempts).filter(|_| subject.check_of(key, 1).is_allowed()).count() as u64
        };
        keys.iter().map(count).collect::<Vec<u64>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(of_one_thread)).collect();
        let mut sums = vec![0; keys.len()];
        for thread in threads {
            for (sum, count) in sums.iter_mut().zip(thread.join().unwrap()) {
                *sum += count;
            }
        }
        sums
    })
}

fn admit_exactly_the_limit(algorithm: Algorithm) {
    let one: Vec<String> = vec!["one".to_owned()];
    let thousand: Vec<String> = (0..1_000).map(|key| key.to_string()).collect();
    for _ in 0..scaled(3, 100) {
        // One with granules, and where there is a bucket, one that is smaller than the limit.
        let mut limits = vec![Numbers::new(1_000, MINUTE), Numbers::new(1_500, MINUTE)];
        if has_bucket(algorithm) {
            limits.push(Numbers::new(1_000, MINUTE).burst(700));
        }
        for numbers in limits {
            let subject = Subject::new(algorithm, &[numbers]);
            assert_eq!(admitted(&subject, &one, 200), [numbers.capacity()]);
        }
        let subject = Subject::new(algorithm, &[Numbers::new(5, MINUTE)]);
        assert_eq!(admitted(&subject, &thousand, 1), [5; 1_000]);
    }
}

for_all_six!(admit_exactly_the_limit);
