#!/usr/bin/env bash
# cached: an attribute below `#[cached]` is there twice, and acts twice on a miss.
#
# `#[cached]` makes of a function `a` the cached one, `a_no_cache`, which does the work, and others. The
# attributes below it go to each of these, so what they add happens on the way in and again in the work.
#
#   cached 4.1.0 with tracing 0.1.44, `#[instrument]` below `#[cached]`
#     a miss    two spans, `work` within `work`
#     a hit     one span
#   `#[instrument]` above `#[cached]`
#     a miss    one span
#     a hit     none: the attribute has gone to the work alone
#
# With an attribute that counts, measures or retries, a miss is counted twice.
#
# Needs cargo (Rust 1.85 or later) and the network. Fails if the packages behave otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"

cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
cached = "=4.1.0"
tracing = "=0.1.44"
TOML

cat >"$folder/src/main.rs" <<'RUST'
use std::sync::atomic::{AtomicU64, Ordering};

use cached::macros::cached;
use tracing::instrument;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Counts the spans.
struct Spans;

static SPANS: AtomicU64 = AtomicU64::new(0);

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(SPANS.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[cached]
#[instrument(name = "work")]
fn below(id: u32) -> u32 {
    id
}

#[instrument(name = "work")]
#[cached]
fn above(id: u32) -> u32 {
    id
}

fn spans(function: fn(u32) -> u32) -> u64 {
    let before = SPANS.load(Ordering::Relaxed);
    function(1);
    SPANS.load(Ordering::Relaxed) - before
}

fn main() {
    tracing::subscriber::set_global_default(Spans).unwrap();
    println!("below: {} at a miss, {} at a hit", spans(below), spans(below));
    println!("above: {} at a miss, {} at a hit", spans(above), spans(above));
}
RUST

seen=$(cd "$folder" && cargo run --quiet)
expected='below: 2 at a miss, 1 at a hit
above: 1 at a miss, 0 at a hit'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'this was:\n%s\n' "$expected" >&2; exit 1; }
