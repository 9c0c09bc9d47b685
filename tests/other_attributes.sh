#!/usr/bin/env bash
# Runs `#[rate_limit]` beside attributes of other crates, above and below them, and writes what is seen into
# tests/other_attributes/TABLE.md. Not one of the tests of run.sh: it builds several web frameworks.
#
#   ./tests/other_attributes.sh             all programs
#   ./tests/other_attributes.sh cached-     those whose names begin so; the table is only printed
#
# A program of tests/other_attributes/src/bin makes three calls where two are admitted. It is right if two of
# them pass, or if it is refused before that, by the compiler or at the start: such limits are seen.
set -euo pipefail
cd "$(dirname "$0")/other_attributes"

chosen="${1:-}"
programs=()
for file in src/bin/"$chosen"*.rs; do
    programs+=("$(basename "$file" .rs)")
done
target="$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug"

# Programs of an earlier run do not count for those that no longer compile.
for program in "${programs[@]}"; do
    rm -f "$target/$program"
done
bins=("${programs[@]/#/--bin=}")
cargo build --locked --quiet --keep-going "${bins[@]}" 2>/dev/null || true

# The first error of a program that does not compile, and its help in this crate's words.
first_error() {
    { cargo build --locked --quiet --bin "$1" 2>&1 || true; } | sed -n 's/^error\(\[[^]]*\]\)\?: //p' | head -n 1
}

rows=()
wrong=()
for program in "${programs[@]}"; do
    IFS='|' read -r what kind order < <(sed -n '1s|^//! ||p' "src/bin/$program.rs")
    if [ -x "$target/$program" ]; then
        status=0
        seen="$(timeout 60 "$target/$program" 2>/dev/null)" || status=$?
        seen="${seen##*$'\n'}"
        case "$status" in
            0) verdict="right" ;;
            2) verdict="refused at the start" ;;
            *) verdict="**wrong**" && wrong+=("$program: $seen (status $status)") ;;
        esac
    else
        seen="$(first_error "$program")"
        verdict="refused by the compiler"
        [ -n "$seen" ] || wrong+=("$program: neither compiles nor says why")
    fi
    rows+=("| $what | $kind | $order | $verdict | ${seen//|/\\|} |")
    echo "$program: $verdict: $seen" >&2
done

table() {
    cat <<'TEXT'
# `#[rate_limit]` beside other attributes

Written by `tests/other_attributes.sh`, from the programs in `src/bin` and the versions in `Cargo.toml`. Each
program makes three calls where two are admitted. "above": the other attribute stands above
`#[rate_limit]`, and so is expanded first; "below": it stands between that and the `fn`. A row is right if two
calls are admitted, and refused if the program does not compile or does not start.

| attribute | kind | order | verdict | seen |
|---|---|---|---|---|
TEXT
    printf '%s\n' "${rows[@]}"
}

if [ -n "$chosen" ]; then
    table | tail -n "${#rows[@]}"
else
    table >TABLE.md
fi
if [ "${#wrong[@]}" -gt 0 ]; then
    printf '%s\n' "== limited wrongly" "${wrong[@]}" >&2
    exit 1
fi
