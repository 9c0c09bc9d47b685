//! Checks that are warm allocate nothing.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod local_tier;
mod memory;

/// Returns how often this thread allocates while `checks` run. The other threads of the program,
/// such as the test runner's own, are not counted.
fn allocations(checks: impl FnOnce()) -> u64 {
    allocation_counter::measure(checks).count_total
}

#[test]
fn allocations_are_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}
