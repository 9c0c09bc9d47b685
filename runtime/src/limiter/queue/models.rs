//! Models of the waiting line: who joins, leaves and is notified at the same time.

use std::sync::Mutex as StdMutex;

use shuttle::future::{block_on, spawn};
use shuttle::thread;

use super::*;
use crate::exploration::{SteppedClock, explore, pause};

static POLICY: Policy = Policy::new("p", Quota::new(1, Duration::from_secs(60)));

fn check() -> Check<'static> {
    Check::new(&POLICY, "s", 1)
}

/// The numbers of the places that were first, in the order in which they were.
type Served = StdMutex<Vec<u64>>;

/// Waits until the place is the first in line, and then leaves.
async fn wait_for_turn(queue: Arc<Queue>, served: Arc<Served>) {
    let place = queue.join(&check(), u64::MAX);
    while place.look(&POLICY).is_some() {
        place.notified().await;
    }
    served.lock().unwrap().push(place.number);
}

fn assert_empty(queue: &Queue) {
    assert!(queue.is_empty() && lock(&queue.lines).is_empty());
    let hash = queue.gate.hash(&check());
    assert!(!queue.gate.is_closed_for(hash));
}

/// All who wait become the first, in the order in which they came, also if one of them leaves at any
/// time. A caller who is never notified would be found as one who waits for ever.
#[test]
fn each_has_its_turn_whoever_leaves() {
    explore(|| {
        let queue = Arc::new(Queue::new(Arc::new(SteppedClock::new())));
        let served = Arc::new(Served::default());
        let wait = || spawn(wait_for_turn(Arc::clone(&queue), Arc::clone(&served)));
        let (leaving, staying) = (wait(), [wait(), wait(), wait()]);
        pause();
        leaving.abort();
        for caller in staying {
            block_on(caller).unwrap();
        }
        let has_left = block_on(leaving).is_err();
        let served = served.lock().unwrap();
        assert!(served.len() == 4 || has_left && served.len() == 3);
        // A line without callers is forgotten, and the next one begins with the number 0.
        let are_in_order = |numbers: &[u64]| numbers[0] < numbers[1] || numbers[1] == 0;
        assert!(served.windows(2).all(are_in_order), "{served:?}");
        assert_empty(&queue);
    });
}

/// The first in line sees that there is room, whenever another thread makes it. A check that comes
/// meanwhile is told of the line, or has passed before it.
#[test]
fn the_first_is_told_of_room() {
    explore(|| {
        let queue = Arc::new(Queue::new(Arc::new(SteppedClock::new())));
        // The units that there are. They are no part of the queue, and taking one is a step.
        let units = Arc::new(Mutex::new(0_u32));
        let take = |queue: Arc<Queue>, units: Arc<Mutex<u32>>| async move {
            let place = queue.join(&check(), u64::MAX);
            loop {
                if place.look(&POLICY).is_none() {
                    let mut units = super::lock(&units);
                    if *units > 0 {
                        *units -= 1;
                        return;
                    }
                }
                place.notified().await;
            }
        };
        let callers = [(); 2].map(|()| spawn(take(Arc::clone(&queue), Arc::clone(&units))));
        let give = |all: bool| {
            let (queue, units) = (Arc::clone(&queue), Arc::clone(&units));
            thread::spawn(move || {
                *super::lock(&units) += 1;
                if all { queue.notify_all() } else { queue.notify_first(&check()) }
            })
        };
        let givers = [give(true), give(false)];
        let passer = Arc::clone(&queue);
        let passing = thread::spawn(move || {
            if let Some(passage) = passer.pass(&check()) {
                assert!((1..=2).contains(&passage.ahead.callers));
                assert!(!passer.is_empty(), "the line stays known while it is passed");
            }
        });
        callers.into_iter().for_each(|caller| block_on(caller).unwrap());
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        passing.join().unwrap();
        assert_empty(&queue);
    });
}
