#!/usr/bin/env bash
# Runs the models: what happens at the same time, with the very types of the library, under schedules that a
# checker chooses. Prints their number for each model. CONTRIBUTING.md says more.
#
#   ./tests/models.sh                               half a minute, and at first one for the build
#   TOLLGATE_TEST_SCALE=full ./tests/models.sh      a hundred times as many schedules: an hour
#   ./tests/models.sh lease                         those whose names contain the word
set -euo pipefail
cd "$(dirname "$0")/.."

[ "${TOLLGATE_TEST_SCALE:-quick}" != full ] || export TOLLGATE_SCHEDULES="${TOLLGATE_SCHEDULES:-200000}"

# A folder of its own, because every crate is built anew with the flag.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/models"
export RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle"
# It tells that it takes all atomic numbers to be in one order.
export SHUTTLE_SILENCE_WARNINGS=1
cargo test --package tollgate --lib --features redis --quiet -- "${1:-models}" --skip tests:: --nocapture
