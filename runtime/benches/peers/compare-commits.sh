#!/usr/bin/env bash
# Compares two commits of the library: builds this package at both, runs the two programs in turn,
# and prints `ratio old.NAME VALUE`, new divided by old, with the medians of both beside it.
#
#   compare-commits.sh OLD NEW [COMPARISON]...
#
# A comparison is memory, memory:PART, http, redis, redis-bytes, redis-hold or instructions;
# `memory:gcra.1000.` takes those whose name contains that part. Without one it runs memory, http,
# redis and instructions. VALUE is the median of the ratios of ROUNDS pairs of runs (5 unless the environment says
# otherwise), in which each goes first in turn. The instructions are counted once, as they repeat.
# All but `redis.checks` and `http.throughput`, which are rates, are the better the less they are.
#
# Both are built with the sources of the folder in which this script is, whatever their commits have
# there, in a temporary folder that is removed at the end (TMPDIR says where, a gigabyte). Set
# CARGO_TARGET_DIR to use, and keep, the dependencies built there.
set -euo pipefail

fail() { printf '%s\n' "$*" >&2; exit 1; }

[ $# -ge 2 ] || fail "usage: $0 OLD NEW [COMPARISON]..., see the beginning of this file"
here=$(cd "$(dirname "$0")" && pwd)
repository=$(git -C "$here" rev-parse --show-toplevel)
old=$(git -C "$repository" rev-parse --verify --quiet "$1^{commit}") || fail "there is no commit $1"
new=$(git -C "$repository" rev-parse --verify --quiet "$2^{commit}") || fail "there is no commit $2"
shift 2
[ $# -gt 0 ] || set -- memory http redis instructions
for comparison; do
  case $comparison in
    memory | memory:* | http) ;;
    redis | redis-bytes | redis-hold)
      command -v redis-server >/dev/null || fail "$comparison needs redis-server: install it"
      ;;
    instructions) command -v valgrind >/dev/null || fail "instructions needs valgrind: install it" ;;
    *) fail "there is no comparison $comparison: memory, http, redis, redis-bytes, redis-hold or instructions" ;;
  esac
done

folder=$(mktemp -d)
target=$(realpath -m "${CARGO_TARGET_DIR:-$folder/target}")
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM

# The target folder is shared, so that what both depend on is built once.
build() { # SIDE COMMIT
  local package=$folder/$1/runtime/benches/peers
  mkdir "$folder/$1"
  # Without `-m` the files are as old as their commit, and cargo would take them for those built last.
  git -C "$repository" archive "$2" | tar -xm -C "$folder/$1"
  rm -rf "$package"
  mkdir -p "$package"
  tar -c -C "$here" --exclude ./target . | tar -xm -C "$package"
  echo "building $1, $2" >&2
  (cd "$package" && CARGO_TARGET_DIR=$target cargo build --release --quiet)
  cp "$target/release/peers" "$folder/peers-$1"
}

build old "$old"
build new "$new"

# Appends lines of SIDE ROUND NAME VALUE.
run() { # SIDE ROUND SUFFIX ARGUMENT...
  local side=$1 round=$2 suffix=$3
  shift 3
  "$folder/peers-$side" "$@" >"$folder/output" || fail "peers $* failed at $side"
  awk -v side="$side" -v round="$round" -v suffix="$suffix" \
    '$1 == "figure" || $1 == "instructions" { print side, round, $2 suffix, $3 }' \
    "$folder/output" >>"$folder/figures"
}

# Reads those lines. Prints a ratio for each name, in the order in which the names came.
ratios() {
  awk '
    function median(values, count,    i, j, value) {
      for (i = 2; i <= count; i++) {
        value = values[i]
        for (j = i - 1; j >= 1 && values[j] > value; j--) values[j + 1] = values[j]
        values[j + 1] = value
      }
      return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2
    }
    !($3 in seen) { seen[$3]; names[++known] = $3 }
    { value[$1, $2, $3] = $4; if ($2 > rounds) rounds = $2 }
    END {
      for (n = 1; n <= known; n++) {
        name = names[n]
        for (round = 1; round <= rounds; round++) {
          olds[round] = value["old", round, name]
          news[round] = value["new", round, name]
          quotients[round] = news[round] / olds[round]
        }
        printf "ratio old.%s %.3f   (old %.6g, new %.6g)\n", \
          name, median(quotients, rounds), median(olds, rounds), median(news, rounds)
      }
    }' "$folder/figures"
}

for comparison; do
  : >"$folder/figures"
  if [ "$comparison" = instructions ]; then
    for side in old new; do run $side 1 .instructions instructions; done
  else
    part=${comparison#*:}
    [ "$part" != "$comparison" ] || part=
    for round in $(seq "${ROUNDS:-5}"); do
      if [ $((round % 2)) = 1 ]; then sides="old new"; else sides="new old"; fi
      for side in $sides; do run "$side" "$round" "" figures "${comparison%%:*}" ${part:+"$part"}; done
    done
  fi
  ratios
done
