//! A few minutes of a small fleet, in which every kind of fault comes: what is promised is kept, and
//! the same seed gives the same figures.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use simulated::faults::Kind;
use simulated::figures::Figures;
use simulated::fleet::{Fleet, Mode};
use simulated::play;
use support::scaled;
use tollgate::Source;

/// Plays a fleet in each mode, two at a time.
fn play_all(fleet: &Fleet) -> Vec<(Mode, Figures)> {
    let (modes, next) = (Mode::all(), AtomicUsize::new(0));
    let play_some = || {
        let mut played = Vec::new();
        while let Some(mode) = modes.get(next.fetch_add(1, Ordering::Relaxed)) {
            played.push((mode.clone(), play(fleet, mode)));
        }
        played
    };
    let mut played: Vec<_> = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(play_some));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    played.sort_by_key(|(mode, _)| modes.iter().position(|known| known.name == mode.name));
    played
}

fn of<'a>(played: &'a [(Mode, Figures)], name: &str) -> &'a Figures {
    let found = played.iter().find(|(mode, _)| mode.name == name);
    &found.unwrap_or_else(|| panic!("no mode is called {name}")).1
}

/// [`Figures::breaches`] count broken promises: more admissions in a window than the documented bound;
/// a refusal within the limit, a failure or a decision without the store when no fault can be felt; and
/// an account at the store that differs from what was admitted.
#[test]
fn what_is_promised_is_kept_whatever_fails() {
    for seed in 1..=u64::from(scaled(1, 40)) {
        let played = play_all(&Fleet::small(seed));
        println!("seed {seed}\n{}", Figures::heading());
        for (mode, figures) in &played {
            println!("{}\n{}", figures.row(mode.name), figures.details());
        }
        for (mode, figures) in &played {
            let (name, told) = (mode.name, &figures.told);
            assert_eq!(figures.breaches, 0, "seed {seed}, {name}: {told:#?}");
            // It must have gone where it matters.
            assert!(figures.audited > 300, "{name}: {} accounts", figures.audited);
            assert!(figures.lost > 0 && figures.refunds > 100 && figures.refused > 5_000, "{name}");
            for kind in Kind::ALL {
                let recovery = figures.recoveries.get(&kind).copied().unwrap_or_default();
                let is_felt = recovery.alone > 0 || recovery.over > 0 || recovery.under > 0;
                assert!(is_felt || kind == Kind::Loss, "{name}: {kind:?} was not felt");
            }
        }
        let [alone, spread, deny_cache] =
            ["store alone", "deny cache, spread", "deny cache"].map(|name| of(&played, name));
        let [leases, local, open] =
            ["leases", "local, spread", "open"].map(|name| of(&played, name));
        // What the local tier is for.
        assert!(spread.calls < alone.calls && deny_cache.calls * 30 < spread.calls * 29);
        assert!(leases.calls < deny_cache.calls && leases.is_by(Source::Lease) > 300);
        // What `on_error` is for.
        assert!(alone.failed > 1_000 && local.failed == 0 && open.failed == 0);
        assert!(local.is_by(Source::Local) > 1_000 && open.is_by(Source::Open) > 1_000);
        assert!(local.over > 100 && open.over * 2 > local.over * 3);
        assert!(alone.most < local.most && local.most < open.most);
    }
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let mut fleet = Fleet::small(7);
    fleet.slots = 2;
    let [first, second] = [play_all(&fleet), play_all(&fleet)];
    for ((mode, first), (_, second)) in first.iter().zip(&second) {
        assert_eq!(first, second, "{}", mode.name);
    }
    fleet.seed = 8;
    let other = play_all(&fleet);
    assert!(first.iter().zip(&other).all(|((_, first), (_, other))| first != other));
}
