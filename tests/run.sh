#!/usr/bin/env bash
# Runs all tests of the workspace, and first installs what they need beside Rust:
# redis-server.
#
#   ./tests/run.sh                              quick: minutes
#   TOLLGATE_TEST_SCALE=full ./tests/run.sh     the same tests at greater length
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_redis() {
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        # The tests start servers of their own; the package must not start one.
        as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends redis-server
    elif command -v dnf >/dev/null; then
        as_root dnf install -y -q redis
    elif command -v apk >/dev/null; then
        as_root apk add --quiet redis
    elif command -v brew >/dev/null; then
        brew install --quiet redis
    else
        echo "redis-server is missing, and there is no apt-get, dnf, apk or brew to install it" \
            "with: install it and run this again" >&2
        exit 1
    fi
}

command -v redis-server >/dev/null || install_redis >&2
redis-server --version

# Incremental files are for who builds again and again. Here they are only work.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

cargo test --workspace --quiet "$@"
