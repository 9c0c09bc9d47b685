#!/usr/bin/env python3
"""Breaks each promise of the documentation once, and watches its test fail.

    tests/mutations.py [--keep] [NAME…]     of the rows whose name contains one of these words (default: all)

The rows stand in tests/mutations.toml, and the guide shows them as a table. Of each, one small piece of the library is
replaced by another, and the named test is run: it has to pass without the replacement, and to fail with it. A line is
printed for each row:

    caught           the test failed
    NOT CAUGHT       it passed all the same
    does not build   the replacement is not accepted by the compiler, and shows nothing
    does not end     the test took longer than five minutes
    FAILS ANYWAY     the test fails without the replacement, or there is none of that name

Exit status 1: a row is not `caught`. It takes some ten minutes on two cores, and a Redis server on the path.

It works on the last commit, in a git worktree below `target/mutations` that is removed in the end, and never in your
own tree. What it builds is kept there for the next time, unless CARGO_TARGET_DIR names another place.

Most rows are built together: each replacement stands in the code beside the original, and the variable TOLLGATE_MUTATION
chooses one when the test is run. A row with `alone = true`, whose text is no expression or statement of Rust, or is
evaluated by the compiler, has a build of its own. So have all if they do not build together.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = ROOT / "target/mutations"
SOURCE = PLACE / "source"
TIMEOUT = 300

SWITCH = """
/// Returns true if this replacement is the one to use.
pub(crate) fn mutated(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("TOLLGATE_MUTATION").unwrap_or_default()) == name
}
"""


def main():
    arguments = argparse.ArgumentParser(description="Breaks each promise once, and watches its test fail.")
    arguments.add_argument("names", nargs="*", metavar="NAME", help="words, of which a row's name contains one")
    arguments.add_argument("--keep", action="store_true", help="leave the worktree where it is")
    arguments = arguments.parse_args()
    rows = tomllib.loads((ROOT / "tests/mutations.toml").read_text())["row"]
    rows = [row for row in rows if not arguments.names or any(word in row["name"] for word in arguments.names)]
    if not rows:
        sys.exit("no row has such a name")
    remove_worktree()
    git("worktree", "add", "--quiet", "--force", "--detach", str(SOURCE), "HEAD")
    try:
        results = run(rows)
    finally:
        if not arguments.keep:
            remove_worktree()
    missed = [name for name, result in results.items() if result != "caught"]
    print(f"{len(results) - len(missed)} of {len(rows)} caught" + (f"; not: {', '.join(missed)}" if missed else ""))
    sys.exit(1 if missed else 0)


def run(rows):
    """Tries all rows, first those that are built together. Returns the result of each by its name."""
    results = {}
    together = [row for row in rows if not row.get("alone")]
    insert_switches(together)
    started = time.monotonic()
    programs, errors = build(rows)
    print(f"built in {time.monotonic() - started:.0f} s", flush=True)
    if errors:
        print(errors)
        together = []
        clean()
        programs, errors = build(rows)
    if errors:
        sys.exit(f"the library itself does not build:\n{errors}")
    sound = []
    for row in rows:
        status, said = test(programs, row)
        if status == "passed":
            sound.append(row)
        else:
            report(results, row, "FAILS ANYWAY", 0, said)
    for row in sound:
        if row in together:
            status, said, seconds = timed(lambda: test(programs, row, {"TOLLGATE_MUTATION": row["name"]}))
            report(results, row, {"passed": "NOT CAUGHT", "failed": "caught"}.get(status, status), seconds, said)
    for row in sound:
        if row not in together:
            clean()
            file = SOURCE / row["file"]
            file.write_text(replaced(file.read_text(), row))
            programs, errors, seconds = timed(lambda: build([row]))
            if errors:
                report(results, row, "does not build", seconds, errors)
                continue
            status, said, more = timed(lambda: test(programs, row))
            report(results, row, {"passed": "NOT CAUGHT", "failed": "caught"}.get(status, status), seconds + more, said)
    return results


def timed(action):
    """The results of the action, and the seconds that it took."""
    started = time.monotonic()
    return *action(), time.monotonic() - started


def report(results, row, result, seconds, said):
    results[row["name"]] = result
    print(f"{result:<15} {seconds:5.1f} s  {row['name']}: {said}", flush=True)


def replaced(text, row):
    if text.count(row["replace"]) != 1:
        sys.exit(f"{row['name']}: its text is not found exactly once in {row['file']}")
    return text.replace(row["replace"], row["by"])


def insert_switches(rows):
    """Puts the replacements of these rows beside the originals."""
    for path in {row["file"] for row in rows}:
        file = SOURCE / path
        text = file.read_text()
        places = []
        for row in rows:
            if row["file"] == path:
                replaced(text, row)
                places.append((text.index(row["replace"]), row))
        for at, row in sorted(places, key=lambda place: place[0], reverse=True):
            old, new = row["replace"], row["by"]
            both = f'if crate::mutated("{row["name"]}") {{ {new} }} else {{ {old} }}'
            if old[-1] not in ";}":
                both = f"({both})"
            text = text[:at] + both + text[at + len(old) :]
        file.write_text(text)
    if rows:
        with open(SOURCE / "runtime/src/lib.rs", "a") as file:
            file.write(SWITCH)


def build(rows):
    """Builds the programs of these rows. Returns the path of each by its name, or what the compiler says."""
    programs = {}
    packages = {}
    for row in rows:
        packages.setdefault(row.get("package", "tollgate-tests"), set()).add(row["test"].split()[0])
    for package, names in packages.items():
        chosen = [word for name in sorted(names) for word in ("--test", name)]
        command = ["cargo", "test", "--package", package, *chosen, "--no-run", "--message-format=json"]
        done = subprocess.run(command, cwd=SOURCE, env=environment(), capture_output=True, text=True)
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode:
            said = [it["message"]["rendered"] for it in messages if it.get("message", {}).get("level") == "error"]
            return {}, "\n".join(said) or done.stderr
        for message in messages:
            if message.get("executable") and "test" in message["target"]["kind"]:
                folder = pathlib.Path(message["manifest_path"]).parent
                programs[package, message["target"]["name"]] = pathlib.Path(message["executable"]), folder
    return programs, ""


def test(programs, row, variables=None):
    """Runs the test of a row. Returns `passed`, `failed` or `does not end`, and what the test says."""
    program, *filters = row["test"].split()
    path, folder = programs[row.get("package", "tollgate-tests"), program]
    try:
        done = subprocess.run(
            [path, *filters],
            cwd=folder,
            env=environment() | {"CARGO_MANIFEST_DIR": str(folder), "CARGO": "cargo"} | (variables or {}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return "does not end", ""
    said = done.stdout + done.stderr
    if re.search(r"test result: ok\. [1-9]\d* passed", said):
        return "passed", ""
    panic = re.search(r"panicked at (?:.*/source/)?(\S+:\d+):\d+:\n(.*)", said)
    told = f"{panic[1]}: {panic[2][:120]}" if panic else (said.strip().splitlines() or ["no output"])[-1]
    return ("failed" if "test result: FAILED" in said else "nothing ran"), told


def environment():
    target = os.environ.get("CARGO_TARGET_DIR", str(PLACE / "target"))
    # Incremental compilation keeps much, and gains nothing where all is built once.
    return os.environ | {"CARGO_TARGET_DIR": target, "CARGO_INCREMENTAL": "0", "RUST_BACKTRACE": "0"}


def clean():
    subprocess.run(["git", "checkout", "--quiet", "--", "."], cwd=SOURCE, check=True)


def git(*arguments):
    subprocess.run(["git", *arguments], cwd=ROOT, check=True)


def remove_worktree():
    subprocess.run(["git", "worktree", "remove", "--force", str(SOURCE)], cwd=ROOT, capture_output=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that the worktree is removed.
    main()
