#!/usr/bin/env python3
"""Tries the mutants that cargo-mutants lists, and counts those that the quick tests catch.

    tests/mutants.py [--seed N --sample N] [--only TEXT] [--results FILE] [--keep]

The mutants are those of `algorithm/`, `backend/memory/` and `guard/`; with a sample, as many of them as it says, drawn
by the seed. A build of each would take days. So all stand in the code beside the originals, as with
`tests/mutations.py`, and the variable TOLLGATE_MUTATION chooses one when a test is run. Extents of expressions are
found by a small program in `tests/mutants`. What the compiler rejects is taken out until the rest builds:

    unviable     its own code has the wrong type: cargo-mutants would not build it either
    apart        it cannot stand beside the original, such as in what the compiler evaluates: it is not tried here

Each test is run once without a mutant, alone, which says how long it takes and which places it reaches. Then each
mutant has the tests that reach it, the quickest first, until one fails:

    caught       a test failed
    timeout      a test did not end, which counts as caught
    missed       all passed
    unreached    no test comes by, which counts as missed

It works on the last commit, in a git worktree below `target/mutants`. Needs cargo-mutants and a Redis server on the
path. On two cores all of the listed mutants take many hours, and 640 of them more than one.
"""

import argparse
import bisect
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import mutations  # noqa: E402

ROOT = mutations.ROOT
PLACE = ROOT / "target/mutants"
SOURCE = PLACE / "source"
FOLDERS = ("algorithm", "backend/memory", "guard")
PROGRAMS = (
    ("tollgate", ["--lib", "--all-features"], ["tollgate"]),
    ("tollgate-tests", [], ["limiter", "in_flight", "no_allocation"]),
)
AT_ONCE = 2
LONGEST = 15  # Seconds that a test may take alone, to be one of the quick tests.
WRONG_TYPE = {"E0277", "E0308", "E0369", "E0600", "E0599", "E0614", "E0282", "E0283", "E0423", "E0425", "E0433"}

SWITCH = """
/// Returns true if this mutant is the one to use. Notes in a file which are come by, if TOLLGATE_REACHED names one.
pub(crate) fn mutated(number: usize) -> bool {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static CHOSEN: OnceLock<usize> = OnceLock::new();
    static FILE: OnceLock<Option<std::fs::File>> = OnceLock::new();
    static REACHED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
    let file = FILE.get_or_init(|| {
        let path = std::env::var_os("TOLLGATE_REACHED")?;
        std::fs::OpenOptions::new().append(true).create(true).open(path).ok()
    });
    if let Some(mut file) = file.as_ref() {
        if !REACHED[number].swap(true, Ordering::Relaxed) {
            let _ = file.write_all(format!("{number}\\n").as_bytes());
        }
        return false;
    }
    *CHOSEN.get_or_init(|| std::env::var("TOLLGATE_MUTATION").ok().and_then(|it| it.parse().ok()).unwrap_or(usize::MAX))
        == number
}
"""


def main():
    arguments = argparse.ArgumentParser(description="Tries the mutants that cargo-mutants lists.")
    arguments.add_argument("--seed", type=int, default=1, help="of the sample")
    arguments.add_argument("--sample", type=int, help="how many to try (default: all)")
    arguments.add_argument("--only", default="", metavar="TEXT", help="those whose name contains this")
    arguments.add_argument("--results", type=pathlib.Path, default=PLACE / "results.json", metavar="FILE")
    arguments.add_argument("--keep", action="store_true", help="leave the worktree where it is")
    arguments = arguments.parse_args()
    mutations.SOURCE = SOURCE
    mutations.remove_worktree()
    mutations.git("worktree", "add", "--quiet", "--force", "--detach", str(SOURCE), "HEAD")
    try:
        mutants = listed()
        print(f"{len(mutants)} listed", flush=True)
        mutants = [mutant for mutant in mutants if arguments.only in mutant["name"]]
        if arguments.sample and arguments.sample < len(mutants):
            mutants = random.Random(arguments.seed).sample(mutants, arguments.sample)
        run(mutants)
    finally:
        if not arguments.keep:
            mutations.remove_worktree()
    arguments.results.write_text(json.dumps(mutants, indent=1))
    figures(mutants)


def figures(mutants):
    for mutant in sorted(mutants, key=lambda it: (it["result"], it["name"])):
        if mutant["result"] in ("missed", "unreached", "apart"):
            print(f"{mutant['result']:<10} {mutant['name']}")
    count = collections.Counter(mutant["result"] for mutant in mutants)
    viable = len(mutants) - count["unviable"] - count["apart"]
    caught = count["caught"] + count["timeout"]
    print(f"{len(mutants)} tried: {', '.join(f'{number} {name}' for name, number in sorted(count.items()))}")
    print(f"{caught} of {viable} viable caught: {100 * caught / max(viable, 1):.1f} %")


def listed():
    """The mutants that cargo-mutants lists."""
    files = [word for folder in FOLDERS for word in ("--file", f"runtime/src/{folder}/**")]
    excluded = ["--exclude", "**/tests.rs", "--exclude", "**/models.rs"]
    command = ["cargo", "mutants", "--list", "--json", "--package", "tollgate", *files, *excluded]
    return json.loads(subprocess.run(command, cwd=SOURCE, check=True, capture_output=True, text=True).stdout)


def run(mutants):
    """Gives each mutant its result."""
    for number, mutant in enumerate(mutants):
        mutant["number"] = number
    extents = find_extents(mutants)
    for mutant in mutants:
        mutant["piece"] = piece_of(mutant, extents)
        if mutant["piece"] is None:
            # Of conditions with a `let` only `&&` is Rust.
            is_chain = mutant["genre"] == "BinaryOperator"
            mutant["result"], mutant["by"] = ("unviable", "a chain") if is_chain else ("apart", "not found")
        elif mutant["piece"]["kind"] == "body" and "impl " in mutant["function"]["return_type"]:
            mutant["result"], mutant["by"] = "apart", "a hidden type"
    originals = {path: (SOURCE / path).read_bytes() for path in {mutant["file"] for mutant in mutants}}
    library = SOURCE / "runtime/src/lib.rs"
    library.write_text(library.read_text() + SWITCH.replace("COUNT", str(len(mutants))))
    started = time.monotonic()
    while True:
        for path, text in originals.items():
            left = [it for it in mutants if it["file"] == path and "result" not in it]
            (SOURCE / path).write_bytes(switched(text, left))
        errors = compiler_errors()
        if not errors:
            break
        if not take_out(mutants, errors):
            sys.exit("\n".join(error["rendered"] for error in errors))
    programs = build()
    print(f"built in {time.monotonic() - started:.0f} s", flush=True)
    tests = record(programs)
    left = [mutant for mutant in mutants if "result" not in mutant]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for mutant in pool.map(lambda mutant: try_out(mutant, programs, tests), left):
            print(f"{mutant['result']:<10} {mutant['seconds']:6.1f} s  {mutant['name']}  {mutant['by']}", flush=True)


# ---- Switches --------------------------------------------------------------------------------------------------------


def find_extents(mutants):
    """What the program in `tests/mutants` says, by file."""
    target = mutations.environment()["CARGO_TARGET_DIR"] + "/tool"
    files = sorted({mutant["file"] for mutant in mutants})
    command = ["cargo", "run", "--quiet", "--manifest-path", str(ROOT / "tests/mutants/Cargo.toml"), "--", *files]
    environment = mutations.environment() | {"CARGO_TARGET_DIR": target}
    done = subprocess.run(command, cwd=SOURCE, env=environment, check=True, capture_output=True, text=True)
    extents = collections.defaultdict(dict)
    for piece in map(json.loads, done.stdout.splitlines()):
        extents[piece["file"]][piece["kind"], piece["at"]] = piece
    return extents


KINDS = {
    "FnValue": "body",
    "BinaryOperator": "binary",
    "UnaryOperator": "unary",
    "MatchArm": "arm",
    "MatchArmGuard": "guard",
    "StructField": "field",
}


def piece_of(mutant, extents):
    """The piece of the file that this mutant replaces, or None."""
    text = (SOURCE / mutant["file"]).read_text()
    start = mutant["span"]["start"]
    line = text.split("\n")[start["line"] - 1]
    at = len("\n".join(text.split("\n")[: start["line"] - 1]).encode()) + (start["line"] > 1)
    at += len(line[: start["column"] - 1].encode())
    return extents[mutant["file"]].get((KINDS.get(mutant["genre"]), at))


def switched(text, mutants):
    """The text of a file with these mutants beside the originals, each between marks."""
    insertions, wraps, names = collections.defaultdict(bytes), collections.defaultdict(list), {}
    for mutant in mutants:
        number, piece, new = mutant["number"], mutant["piece"], mutant["replacement"].encode()
        start, end = piece["whole"]
        match piece["kind"]:
            case "body":
                insertions[start] += b" if crate::mutated(%d) { return %s; } " % (number, marked(number, new))
            case "binary" | "unary":
                first, last = piece["operator"]
                wraps[start, end].append((number, text[start:first] + new + text[last:end]))
            case "guard":
                wraps[start, end].append((number, new))
            case "arm" if "guard" in piece:
                wraps[tuple(piece["guard"])].append((number, b"false"))
            case "arm":
                insertions[end] += b" if " + marked(number, b"!crate::mutated(%d)" % number)
            case "field":
                name = re.match(rb"\w+", text[start:end])[0]
                if piece["value"] == piece["whole"]:
                    names[start, end] = name + b": "
                first, last = piece["rest"]
                value = b"(" + text[first:last] + b")." + name
                wraps[tuple(piece["value"])].append((number, value))
    ranges = sorted(wraps, key=lambda it: (it[0], -it[1]))
    points = sorted(insertions)

    def rendered(start, end, within):
        result, at = b"", start
        for index, inner in enumerate(within):
            if inner[0] >= at and inner[0] < end:
                below = [it for it in within[index + 1 :] if it[1] <= inner[1] and it[0] < inner[1]]
                result += plain(at, inner[0]) + wrapped(inner, below)
                at = inner[1]
        return result + plain(at, end)

    def plain(start, end):
        result, at = b"", start
        for point in points[bisect.bisect_left(points, start) : bisect.bisect_left(points, end)]:
            result += text[at:point] + insertions[point]
            at = point
        return result + text[at:end]

    def wrapped(extent, below):
        result = names.get(extent, b"") + b"("
        for number, new in wraps[extent]:
            result += b"if crate::mutated(%d) { %s } else " % (number, marked(number, new))
        numbers = b",".join(b"%d" % number for number, _ in wraps[extent])
        return result + b"{/*[%s*/" % numbers + rendered(*extent, below) + b"/*]*/})"

    return rendered(0, len(text), ranges) + b"\n"


def marked(number, text):
    return b"/*[%d*/%s/*]*/" % (number, text)


def compiler_errors():
    command = ["cargo", "check", "--package", "tollgate", "--all-features", "--message-format=json"]
    done = subprocess.run(command, cwd=SOURCE, env=mutations.environment(), capture_output=True, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    errors = [it["message"] for it in messages if it.get("message", {}).get("level") == "error"]
    if done.returncode and not errors:
        sys.exit(done.stderr)
    return [error for error in errors if error["spans"]]


def take_out(mutants, errors):
    """Takes out those at which the compiler stops. Returns if there is one."""
    found, texts = {}, {}
    for error in errors:
        code = (error["code"] or {}).get("code", "")
        for span in sorted(error["spans"], key=lambda span: not span["is_primary"]):
            path = span["file_name"]
            if not (SOURCE / path).exists():
                continue
            text = texts.setdefault(path, (SOURCE / path).read_bytes())
            numbers = around(text, span["byte_start"])
            if numbers:
                own = len(numbers) == 1 and code in WRONG_TYPE
                for number in numbers:
                    found.setdefault(number, ("unviable" if own else "apart", code + " " + error["message"]))
                break
    for number, (result, why) in found.items():
        mutants[number]["result"], mutants[number]["by"] = result, why
    print(f"{len(found)} taken out", flush=True)
    return found


MARK = re.compile(rb"/\*(?:\[([\d,]+)|\])\*/")


def around(text, at):
    """The numbers of the innermost marks around a place."""
    condition = re.match(rb"!?crate::mutated\((\d+)\)", text[at:])
    if condition:
        return [int(condition[1])]
    open_marks = []
    for mark in MARK.finditer(text):
        if mark.start() > at:
            break
        if mark[1]:
            open_marks.append([int(number) for number in mark[1].split(b",")])
        else:
            open_marks.pop()
    return open_marks[-1] if open_marks else []


# ---- Tests -----------------------------------------------------------------------------------------------------------


def build():
    """Builds the programs. Returns path and folder of each by its name."""
    programs = {}
    for package, options, names in PROGRAMS:
        chosen = options or [word for name in names for word in ("--test", name)]
        command = ["cargo", "test", "--package", package, *chosen, "--no-run", "--message-format=json"]
        done = subprocess.run(command, cwd=SOURCE, env=mutations.environment(), capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        for message in map(json.loads, filter(lambda line: line.startswith("{"), done.stdout.splitlines())):
            if message.get("executable") and message["target"]["name"] in names:
                folder = pathlib.Path(message["manifest_path"]).parent
                programs[message["target"]["name"]] = message["executable"], folder
    return programs


def record(programs):
    """Runs each test alone. Returns those that pass: program, name, seconds and the mutants that it reaches."""
    every = []
    for name, (path, folder) in programs.items():
        said = subprocess.run([path, "--list"], cwd=folder, check=True, capture_output=True, text=True).stdout
        every += [(name, line.removesuffix(": test")) for line in said.splitlines() if line.endswith(": test")]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        tests = list(pool.map(lambda it: record_one(programs, *it), every))
    for test in tests:
        if not test["passes"]:
            print(f"not used  {test['seconds']:6.1f} s  {test['program']} {test['name']}", flush=True)
    sound = sorted((test for test in tests if test["passes"]), key=lambda test: test["seconds"])
    (PLACE / "tests.json").write_text(json.dumps([it | {"reached": len(it["reached"])} for it in sound], indent=1))
    print(f"{len(sound)} tests, {sum(test['seconds'] for test in sound):.0f} s one by one", flush=True)
    return sound


def record_one(programs, program, name):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "reached")
        status, seconds = perform(programs, program, [name], LONGEST, {"TOLLGATE_REACHED": str(file)})
        reached = set(map(int, file.read_text().split())) if file.exists() else set()
    if status == "failed":  # Such as a test that counts allocations.
        status, seconds = perform(programs, program, [name], LONGEST, {})
    return {"program": program, "name": name, "seconds": seconds, "passes": status == "passed", "reached": reached}


def try_out(mutant, programs, tests):
    """Runs the tests that reach this mutant, until one fails."""
    started = time.monotonic()
    mutant["result"], mutant["by"] = "unreached", ""
    for program, names, seconds in batches([test for test in tests if mutant["number"] in test["reached"]]):
        limit = 20 + 5 * seconds
        status, _ = perform(programs, program, names, limit, {"TOLLGATE_MUTATION": str(mutant["number"])})
        mutant["result"] = {"passed": "missed", "failed": "caught"}.get(status, status)
        mutant["by"] = f"{program} {names[0]}" if len(names) == 1 else f"{program}, {len(names)} tests"
        if status != "passed":
            break
    mutant["seconds"] = time.monotonic() - started
    return mutant


def batches(tests):
    """Puts tests of one program together, the quickest first: each batch may take four times as long as the last."""
    left, longest = list(tests), 0.2
    while left:
        chosen, seconds = [], 0
        for test in left:
            if test["program"] == left[0]["program"] and (not chosen or seconds + test["seconds"] <= longest):
                chosen.append(test)
                seconds += test["seconds"]
        left = [test for test in left if test not in chosen]
        longest *= 4
        yield chosen[0]["program"], [test["name"] for test in chosen], seconds


def perform(programs, program, names, limit, variables):
    """Runs tests by their names. Returns `passed`, `failed` or `timeout`, and the seconds it took."""
    path, folder = programs[program]
    fixed = {"CARGO_MANIFEST_DIR": str(folder), "CARGO": "cargo", "RUST_BACKTRACE": "0", "PROPTEST_RNG_SEED": "1"}
    fixed |= {"PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true", "PROPTEST_MAX_SHRINK_ITERS": "0"}
    started = time.monotonic()
    child = subprocess.Popen(
        [path, "--exact", "--test-threads=1", *names],
        cwd=folder,
        env=mutations.environment() | fixed | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)),
    )
    try:
        status = "failed" if child.wait(limit) else "passed"
    except subprocess.TimeoutExpired:
        status = "timeout"
    try:
        os.killpg(child.pid, signal.SIGKILL)  # And what it has started.
    except ProcessLookupError:
        pass
    child.wait()
    return status, time.monotonic() - started


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that the worktree is removed.
    main()
