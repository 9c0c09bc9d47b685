#!/usr/bin/env python3
"""The structure of the crate in figures, each with the bound that it must not exceed.

    .ci/structure.py [-v] [--under FOLDER] [DIRECTORY]    of the repository in DIRECTORY (default: this one)
    .ci/structure.py --self-test                          counts in a small tree that it makes up

`-v` lists what was counted, with its place. `--under backend/redis` draws only the imports between files of that
folder. Exit status 1: a bound is exceeded.

Rows 1 to 5, the text
---------------------
They read `runtime/src/**/*.rs`, each file up to its unit tests, by regular expressions.

1. names defined twice: names of a struct, enum, trait or union that are defined more than once.
2. functions with > 5 parameters: `self` is one of them.
3. policy and subject side by side: functions with a reference to a `Policy`, `Current` or `EffectivePolicy` among their
   parameters, and a `&str`, `&Subject` or `&[u8]`.
   The wider row after it also sees them by value, in an `Option`, `Box`, `Arc` or `Cow`, as `impl Into<…>`, in a tuple,
   behind a `type` alias, and as fields of one struct; not in the struct `Check`, which is there to hold them. A
   `&'static str` is a name in the program's text and no subject there.
4. comments that begin with What, Whether, Who, How, Where or As.
5. files > 450 lines: `*.rs` and `*.lua` in `runtime/src`, `*.rs` in `macros/src`; tests are lines too.

Rows 6 to 8, the imports
-------------------------
An import leads from the file that names an item to the file that *defines* it: `crate::Policy` leads to `policy.rs`,
not to `lib.rs`, because each `use` and `pub use` in between is followed.

- Read: `use` trees (groups, globs, `self`, `super`, `crate`, `as`) and paths of two or more segments in the code.
- Not read: comments and links in them, strings, unit tests, method calls, paths into other crates. What another `cfg`
  leaves out is read as well; if several items have the name, the import leads to each of them.
- A path that ends at a module leads nowhere, only what is then taken from that module does; a glob leads to its file.
- From a parent module's file down to the modules below it there is no import, be it `mod child;`, `pub use` or `use`:
  a `mod.rs` is put together from its children. A child that names an item defined in its parent's file imports it.
- What is not found in a module, because a macro makes it, is taken to be in that module's file.

6. circles between files: strongly connected components of more than one file.
7. largest knot of modules: the largest such component when the files of each top-level module are taken as one
   (`limiter/mod.rs` and `limiter/queue.rs` are `limiter`). Without `lib.rs` and `private.rs`: the one only exports,
   the other is there for generated code.
8. imports upwards: those between top-level modules that do not go down the list in ARCHITECTURE.md, "Who may import
   whom". A module that is not in the list stands in its last line.
"""

import argparse
import collections
import contextlib
import io
import pathlib
import re
import signal
import sys
import tempfile

# ---- Rows 1 to 5 -----------------------------------------------------------------------------------------------------

POLICIES = {"Policy", "Current", "EffectivePolicy"}
SUBJECTS = {"str", "Subject", "[u8]", "IntoSubject"}


def text_rows(root):
    """The first five figures and the wider third, as (name, bound, list of what was counted)."""
    source = root / "runtime/src"
    names, long_lists, pairs, wide, comments, long_files = collections.defaultdict(list), [], [], [], [], []
    codes = {path: path.read_text().split("#[cfg(test)]\nmod tests")[0] for path in sorted(source.rglob("*.rs"))}
    policies, subjects = with_aliases(codes.values(), POLICIES), with_aliases(codes.values(), SUBJECTS)

    def side_by_side(types):
        found = {name for a_type in types for name in bare(a_type)}
        return bool(found & policies and found & subjects)

    for path, code in codes.items():

        def place(match, what=""):
            line = code.count("\n", 0, match.start(1 if match.re.groups else 0)) + 1
            return f"{path.relative_to(root)}:{line}: {what or match.group().strip()}"

        for match in re.finditer(r"^\s*(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|union) (\w+)", code, re.M):
            names[match[1]].append(place(match))
        for match in re.finditer(r"\bfn (\w+)(?:<[^{;]*?>)?\(([^{;]*?)\)\s*(?:->|where|\{|;)", code, re.S):
            parameters = split(match[2])
            if len(parameters) > 5:
                long_lists.append(place(match, f"{match[1]}, {len(parameters)}"))
            if re.search(r"&(?:'\w+ )?(?:mut )?(?:Policy|Current|EffectivePolicy)\b", match[2]) and re.search(
                r":\s*&(?:'\w+ )?(?:str|Subject|\[u8\])\b", match[2]
            ):
                pairs.append(place(match, match[1]))
            if pairs[-1:] == [place(match, match[1])] or side_by_side(p.partition(":")[2] for p in parameters):
                wide.append(place(match, match[1]))
        for match in re.finditer(r"\bstruct (\w+)[^{};(]*(?:\{([^{}]*)\}|\(([^;]*)\);)", without_noise(code)):
            fields = [re.sub(r"^.*?\w+\s*:(?!:)", "", f, flags=re.S) for f in split(match[2] or match[3] or "")]
            if match[1] != "Check" and side_by_side(fields):
                wide.append(place(match, f"fields of {match[1]}"))
        comments += [place(m) for m in re.finditer(r"^\s*(//[/!]? (?:What|Whether|Who|How|Where|As)\b.*)", code, re.M)]

    files = [*source.rglob("*.rs"), *source.rglob("*.lua"), *(root / "macros/src").rglob("*.rs")]
    for path in sorted(files):
        lines = len(path.read_text().splitlines())
        if lines > 450:
            long_files.append(f"{path.relative_to(root)}: {lines}")
    twice = [f"{name}: {', '.join(places)}" for name, places in sorted(names.items()) if len(places) > 1]
    return [
        ("names defined twice", 5, twice),
        ("functions with > 5 parameters", 8, long_lists),
        ("policy and subject side by side", 15, pairs),
        ("policy and subject in any form", 15, wide),
        ("comments What/Who/How…", 60, comments),
        ("files > 450 lines", 0, long_files),
    ]


def split(items):
    """The items between those commas that are not within brackets."""
    depth, parts = 0, [""]
    for c in items:
        depth += (c in "(<[") - (c in ")>]")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part for part in parts if part.strip()]


def bare(a_type):
    """The names of the types that a type holds one of: `Option<&'a crate::Policy>` holds a `Policy`."""
    if re.fullmatch(r"\s*&'static str\s*", a_type):
        return {"&'static str"}
    a_type = re.sub(r"^(?:\s|&|'\w+|\b(?:mut|impl|dyn)\b)+", "", a_type).strip()
    if a_type.startswith("("):
        return {name for part in split(a_type[1:-1]) for name in bare(part)}
    name, _, arguments = re.sub(r"^(?:\w+::)+", "", a_type).partition("<")
    if name in {"Option", "Box", "Arc", "Rc", "Cow", "Into", "AsRef", "Borrow"}:
        return {name for part in split(arguments.rstrip("> ")) for name in bare(part)}
    return {name.strip()}


def with_aliases(codes, names):
    """Those names, and the type aliases that stand for one of them."""
    aliases = [m for code in codes for m in re.findall(r"\btype (\w+)[^=;{]*=([^;]*);", code)]
    names = set(names)
    for _ in aliases:
        names |= {alias for alias, of in aliases if bare(of) & names}
    return names


# ---- Rows 6 and 7 ----------------------------------------------------------------------------------------------------

NOISE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^\n]*?|[^\\'\n])'(?!\w)""", re.S
)
TEST = re.compile(r"#\[cfg\((?:test|all\(test\b[^\]]*)\)\]")
TOKEN = re.compile(r"'?\$?\w+|::|\n|\S")
NAME = re.compile(r"[A-Za-z_]\w*")
ITEMS = {"struct", "enum", "trait", "union", "type", "fn", "const", "static"}


def without_noise(code):
    """Comments and literals are made blank; all lines stay where they are."""
    return NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), code)


def without_tests(code):
    """The same for items that are only there for unit tests: from the attribute to the item's `}` or `;`."""
    while match := TEST.search(code):
        end, depth = match.end(), 0
        while end < len(code):
            depth += (code[end] in "([{") - (code[end] in ")]}")
            end += 1
            if depth == 0 and code[end - 1] in "};":
                break
        code = code[: match.start()] + re.sub(r"[^\n]", " ", code[match.start() : end]) + code[end:]
    return code


class Module:
    """A module: the items it defines, its children, its `use`s, and the paths in its code."""

    def __init__(self, file, parent):
        self.file, self.parent = file, parent
        self.items, self.children = set(), collections.defaultdict(list)
        self.uses, self.paths = [], []  # (line, segments, name or None for a glob), (line, segments)
        self.all = [self] if parent is None else parent.all
        if parent is not None:
            self.all.append(self)

    def is_below(self, other):
        return self is other or (self.parent is not None and self.parent.is_below(other))


def read_module(file, parent=None, children=None):
    """Reads a file, and those of the modules that it declares."""
    module, children = Module(file, parent), children or file.parent
    raw = file.read_text()
    tokens, line = [], 1
    for token in TOKEN.findall(without_tests(without_noise(raw))):
        line += token == "\n"
        if token != "\n":
            tokens.append((token, line))
    tokens += [("", line)] * 3
    blocks, at = [module], 0  # The blocks around a token: a module, or None for any other.
    while tokens[at][0]:
        token, line = tokens[at]
        following = tokens[at + 1][0]
        current = next(block for block in reversed(blocks) if block)
        at += 1
        if token == "use" and following != "<":
            end = at + [t for t, _ in tokens[at:]].index(";")
            read_use(current, tokens[at:end], [])
            at = end + 1
        elif token == "{":
            blocks.append(None)
        elif token == "}":
            blocks.pop()
        elif token == "mod" and blocks[-1] and NAME.fullmatch(following) and tokens[at + 1][0] == ";":
            for child, below in files_of(following, raw, children):
                current.children[following].append(read_module(child, current, below))
        elif token == "mod" and blocks[-1] and NAME.fullmatch(following) and tokens[at + 1][0] == "{":
            blocks.append(Module(file, current))
            current.children[following].append(blocks[-1])
            at += 2
        elif token in ITEMS and blocks[-1] and NAME.fullmatch(following) and following not in ITEMS | {"mut", "unsafe"}:
            current.items.add(following)
            at += 1
        elif token == "macro_rules" and following == "!":
            current.items.add(tokens[at + 1][0])
        elif NAME.fullmatch(token) and following == "::":
            segments = [token]
            while tokens[at][0] == "::" and NAME.fullmatch(tokens[at + 1][0]):
                segments.append(tokens[at + 1][0])
                at += 2
            if len(segments) > 1:
                current.paths.append((line, segments))
    return module


def files_of(name, raw, folder):
    """The files that `mod name;` may stand for, each with the folder of its own children."""
    attributes = re.search(rf"((?:#\[[^\n]*\]\s*)*)(?:pub(?:\([^)]*\))? )?mod {name};", raw)[1]
    named = re.findall(r'path = "([^"]+)"', attributes)
    files = [(folder / path, folder) for path in named]
    if not re.search(r"#\[path", attributes):
        files += [(folder / f"{name}.rs", folder / name), (folder / name / "mod.rs", folder / name)]
    return [(file, below) for file, below in files if file.exists()]


def read_use(module, tokens, prefix):
    """Takes a `use` tree apart, into one entry for each name."""
    segments, line = list(prefix), tokens[0][1]
    for at, (token, line) in enumerate(tokens):
        if token == "{":
            depth, start = 0, at + 1
            for end in range(at, len(tokens)):
                depth += (tokens[end][0] == "{") - (tokens[end][0] == "}")
                if depth == 0 or (depth == 1 and tokens[end][0] == ","):
                    if tokens[start:end]:
                        read_use(module, tokens[start:end], segments)
                    start = end + 1
            return
        if token == "*":
            module.uses.append((line, segments, None))
            return
        if token == "as":
            module.uses.append((line, segments, tokens[at + 1][0]))
            return
        if token != "::" and not (token == "self" and segments):
            segments.append(token)
    module.uses.append((line, segments, segments[-1]))


def look_up(module, name, seen):
    """The modules called that in a module, and the modules that define an item of that name which is there."""
    if (module, name) in seen:
        return set()
    seen = seen | {(module, name)}
    found = {(child, True) for child in module.children.get(name, [])}
    if name in module.items:
        found.add((module, False))
    for _, segments, alias in module.uses:
        if alias == name:
            found |= resolve(module, segments, seen)
    if not found:
        for _, segments, alias in module.uses:
            if alias is None:
                for other, is_module in resolve(module, segments, seen):
                    found |= look_up(other, name, seen) if is_module else set()
    return found


def resolve(module, segments, seen=frozenset()):
    """What a path leads to, as pairs: a module and True, or the module that defines the item and False."""
    found = {(module, True)}
    for index, name in enumerate(segments):
        modules = [m for m, is_module in found if is_module]
        if not modules:
            break  # Of an item: an associated function, a variant.
        if name == "crate" and index == 0:
            found = {(module.all[0], True)}
        elif name == "self" and index == 0:
            found = {(module, True)}
        elif name == "super":
            found = {(m.parent, True) for m in modules if m.parent}
        else:
            found = set().union(*(look_up(m, name, seen) for m in modules))
            if not found and index > 0:
                found = {(m, False) for m in modules if (m, name) not in seen}
    return found


def imports(lib):
    """Which file imports from which, and at what lines: {(file, file): [(line, path), …]}."""
    edges = collections.defaultdict(set)
    for module in lib.all:
        globs = [(line, segments, True) for line, segments, alias in module.uses if alias is None]
        named = [(line, segments, False) for line, segments, alias in module.uses if alias is not None]
        paths = [(line, segments, False) for line, segments in module.paths]
        for line, segments, is_glob in globs + named + paths:
            for target, is_module in resolve(module, segments):
                if target.file != module.file and (is_glob or not is_module) and not target.is_below(module):
                    edges[module.file, target.file].add((line, "::".join(segments)))
    return edges


def circles(edges):
    """The strongly connected components with more than one member, the largest first."""
    following = collections.defaultdict(set)
    for start, end in edges:
        following[start].add(end)
    reached = {}
    for node in list(following):
        seen, left = set(), [node]
        while left:
            new = following.get(left.pop(), set()) - seen
            seen |= new
            left += new
        reached[node] = seen
    found = {frozenset(m for m in seen if node in reached.get(m, ())) for node, seen in reached.items() if node in seen}
    return sorted((c for c in found if len(c) > 1), key=lambda c: (-len(c), sorted(c)))


def import_rows(root, under):
    """The last two figures."""
    source = root / "runtime/src"
    edges = imports(read_module(source / "lib.rs"))
    edges = {
        tuple(str(file.relative_to(source)) for file in pair): places
        for pair, places in edges.items()
        if all(file.is_relative_to(source / under) for file in pair)
    }
    rings = []
    for ring in circles(edges):
        lines = [f"{len(ring)} files: {', '.join(sorted(ring))}"]
        for (start, end), places in sorted(edges.items()):
            if start in ring and end in ring:
                lines += [f"    {start}:{line} → {end}: {path}" for line, path in sorted(places)]
        rings.append("\n".join(lines))

    def top(file):
        return file.split("/")[0].removesuffix(".rs")

    between = collections.defaultdict(list)
    for (start, end), places in sorted(edges.items()):
        if top(start) != top(end) and not {"lib", "private"} & {top(start), top(end)}:
            between[top(start), top(end)] += [f"{start}:{line}: {path}" for line, path in sorted(places)]
    knots = circles(between)
    listed = []
    for knot in knots:
        lines = [f"{len(knot)} modules: {', '.join(sorted(knot))}"]
        for (start, end), places in between.items():
            if start in knot and end in knot:
                lines += [f"    {start} → {end}: {place}" for place in places]
        listed.append("\n".join(lines))
    layers = read_layers(root / "ARCHITECTURE.md")
    upwards = [
        f"{start} → {end}: {place}"
        for (start, end), places in between.items()
        for place in places
        if layers and layers.get(start, LOWEST) >= layers.get(end, LOWEST)
    ]
    return [
        ("circles between files", 0, len(rings), rings),
        ("largest knot of modules", 1, max(map(len, knots), default=1), listed),
        ("imports upwards", 0, len(upwards), upwards),
    ]


LOWEST = 1000


def read_layers(page):
    """The number of the line that each module has in the list, which stands in a block of code; none without a list."""
    _, heading, text = (page.read_text() if page.exists() else "").partition("## Who may import whom")
    layers = {}
    for number, line in enumerate(text.split("```")[1].splitlines()[1:] if heading else []):
        names = line.strip().split("  ")[0].split(", ")
        layers |= {name: LOWEST if "…" in names else number for name in names}
    return layers


# ---- Both ------------------------------------------------------------------------------------------------------------


def report(root, verbose=False, under=""):
    """Prints all rows. Returns whether each is within its bound."""
    rows = [(name, bound, len(listed), listed) for name, bound, listed in text_rows(root)]
    rows += import_rows(root, under)
    for name, bound, value, listed in rows:
        print(f"{name} {value} (≤ {bound}){'  EXCEEDED' if value > bound else ''}")
        if verbose:
            print(*(f"  {item}" for item in listed), sep="\n", end="\n" if listed else "")
    return all(value <= bound for _, bound, value, _ in rows)


def self_test():
    """Counts in a tree with one of each fault, and in one without any."""
    faults = {
        "../../ARCHITECTURE.md": "## Who may import whom\n```text\n store, tide  stores\n bucket, door\n policy, …  more\n```",
        "lib.rs": "mod bucket;\nmod door;\nmod policy;\nmod store;\npub use self::policy::{Policy, Quota as Rate};",
        "policy.rs": "pub struct Policy;\npub struct Quota;\nfn f() { crate::store::memory::keep(); }\n"
        '// As here, crate::bucket::h() is but a comment.\nconst A: &str = "crate::bucket::h()";\n'
        "#[cfg(test)]\nmod tests {\n    use crate::bucket::h;\n}",
        "store/mod.rs": "mod log;\npub mod memory;\nuse self::log::Log;\npub struct Store(Log);",
        # An item of the parent's file, which uses one of the child's: no circle.
        "store/log.rs": "use super::Store;\npub struct Log;\n"
        "fn g(a: u8, b: u8, c: u8, d: fn(u8, u8), e: u8, f: Vec<(u8, u8)>) {}",
        # By the root's re-export under another name, and by a module that is used under another name.
        "store/memory.rs": "use crate::{Rate, door as gate};\npub fn keep() { gate::open(); }\npub struct Log;",
        "door.rs": "use crate::policy::Quota;\nuse crate::bucket::*;\npub fn open() {}\n"
        "fn ask(policy: &Policy, whom: &str) {}\nfn may(it: (Limit, Arc<Subject>)) {}\ntype Limit = Option<Box<Policy>>;",
        # A glob from the door leads to the module's own file, not to those below it: no circle of files.
        "bucket.rs": "pub mod gcra;\npub fn h() {}",
        "bucket/gcra.rs": "use super::h;\nuse crate::door;\nfn k() { door::open() }\n" + "\n" * 450,
    }
    counted = """
names defined twice 1
functions with > 5 parameters 1
policy and subject side by side 1
policy and subject in any form 2
comments What/Who/How… 1
files > 450 lines 1
circles between files 1
3 files: door.rs, policy.rs, store/memory.rs
door.rs:1 → policy.rs: crate::policy::Quota
policy.rs:3 → store/memory.rs: crate::store::memory::keep
store/memory.rs:1 → policy.rs: crate::Rate
store/memory.rs:2 → door.rs: gate::open
largest knot of modules 4
4 modules: bucket, door, policy, store
door → bucket: door.rs:2: crate::bucket
bucket → door: bucket/gcra.rs:3: door::open
imports upwards 3
bucket → door: bucket/gcra.rs:3: door::open
door → bucket: door.rs:2: crate::bucket
policy → store: policy.rs:3: crate::store::memory::keep
"""
    for tree, lines, within in ((faults, counted, False), ({"lib.rs": "struct A;"}, "circles between files 0", True)):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as output:
            for name, text in tree.items():
                path = pathlib.Path(folder, "runtime/src", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            result = report(pathlib.Path(folder), verbose=True)
        printed = [line.partition(" (≤")[0].strip() for line in output.getvalue().splitlines()]
        missing = [line for line in lines.strip().splitlines() if line not in printed]
        if missing or result != within:
            sys.exit(f"structure.py miscounts: {missing} not in\n{output.getvalue()}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # For `| head`.
    arguments = argparse.ArgumentParser(description="Figures of the crate's structure, each with its bound.")
    arguments.add_argument("directory", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent)
    arguments.add_argument("-v", "--verbose", action="store_true", help="list what was counted")
    arguments.add_argument("--under", default="", metavar="FOLDER", help="only imports within this part of runtime/src")
    arguments.add_argument("--self-test", action="store_true", help="check the counting itself")
    arguments = arguments.parse_args()
    if arguments.self_test:
        self_test()
    elif not report(arguments.directory.resolve(), arguments.verbose, arguments.under):
        sys.exit(1)
