//! Runs each target on its corpus and on random changes of it: shortly, on a stable compiler.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::fs;
use std::path::{Path, PathBuf};

use fuzzed::{TARGETS, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::scaled;

fn fuzz() -> PathBuf {
    Path::new(support::ROOT).join("fuzz")
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = fuzz().join("corpus").join(name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A change of a text: bytes are replaced, inserted or left out, or a piece of another text comes in.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Splice(Index, Vec<u8>),
}

fn changed(mut text: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let at = |index: &Index| index.index(text.len() + 1);
        match change {
            Change::Set(index, byte) if !text.is_empty() => {
                let at = index.index(text.len());
                text[at] = *byte;
            }
            Change::Remove(index) if !text.is_empty() => {
                text.remove(index.index(text.len()));
            }
            Change::Insert(index, byte) => text.insert(at(index), *byte),
            Change::Splice(index, piece) => {
                let at = at(index);
                text.splice(at..at, piece.iter().copied());
            }
            _ => {}
        }
    }
    text
}

fn change(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Change> {
    // What parsers look for, more often than by chance.
    let byte = prop_oneof![any::<u8>(), select(b"\",;:=[]%\\ \r\n0*$9-.@/?&".to_vec())];
    let piece = (select(corpus), any::<Index>(), any::<Index>()).prop_map(|(text, from, to)| {
        let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
        text[from.min(to)..from.max(to)].to_vec()
    });
    prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), byte).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), piece).prop_map(|(at, piece)| Change::Splice(at, piece)),
    ]
}

fn run(name: &str, cases: u32) {
    let (_, target) = TARGETS.into_iter().find(|(of, _)| *of == name).unwrap();
    let target: Target = target;
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "the corpus of {name} is too small");
    for text in &corpus {
        target(text);
    }
    let changes = vec(change(corpus.clone()), 1..8);
    proptest!(ProptestConfig::with_cases(cases), |(text in select(corpus), changes in changes)| {
        target(&changed(text, &changes));
    });
}

#[test]
fn config() {
    run("config", scaled(300, 30_000));
}

#[test]
fn durations() {
    run("durations", scaled(300, 30_000));
}

#[test]
fn forwarded() {
    run("forwarded", scaled(1_000, 100_000));
}

#[test]
fn script_reply() {
    run("script_reply", scaled(60, 3_000));
}

#[test]
fn url() {
    run("url", scaled(1_000, 100_000));
}

/// What a real server has answered to one check is read, so that the changes are of something.
#[test]
fn real_replies_are_decisions() {
    let decided =
        corpus("script_reply").iter().filter(|reply| fuzzed::decisions(reply) == 2).count();
    assert!(decided > 0);
}

/// Each target has an entry of cargo-fuzz and a place in the weekly workflow.
#[test]
fn cargo_fuzz_has_all_targets() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let weekly = Path::new(support::ROOT).join(".github/workflows/weekly.yml");
    let weekly = fs::read_to_string(weekly).unwrap();
    let names = TARGETS.map(|(name, _)| name);
    assert!(weekly.contains(&format!("target: [{}]", names.join(", "))));
    assert_eq!(manifest.matches("[[bin]]").count(), names.len());
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let entry = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(entry.contains(&format!("fuzzed::{name}(data)")), "{entry}");
    }
}
