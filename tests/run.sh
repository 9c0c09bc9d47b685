#!/usr/bin/env bash
# Runs all tests of the workspace, and first installs what they need beside Rust:
# redis-server and nginx.
#
#   ./tests/run.sh                              quick: minutes
#   TOLLGATE_TEST_SCALE=full ./tests/run.sh     the same tests at greater length
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs a package, which has another name by each of these: apt-get, dnf, apk, brew.
install() {
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        # The tests start servers of their own; the package must not start one.
        as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends "$1"
    elif command -v dnf >/dev/null; then
        as_root dnf install -y -q "$2"
    elif command -v apk >/dev/null; then
        as_root apk add --quiet "$3"
    elif command -v brew >/dev/null; then
        brew install --quiet "$4"
    else
        echo "$1 is missing, and there is no apt-get, dnf, apk or brew to install it" \
            "with: install it and run this again" >&2
        exit 1
    fi
}

# Servers are often where only root looks.
PATH="$PATH:/usr/sbin:/sbin"

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v nginx >/dev/null || missing+=(nginx)
if [ "${#missing[@]}" -eq 0 ]; then
    echo "Nothing has to be installed: redis-server and nginx are there."
else
    echo "This installs ${missing[*]} from the system's packages, as root, and downloads crates." \
        "Interrupt it now if that is not wanted."
fi
case "${TOLLGATE_TEST_SCALE:-quick}" in
    full) echo "The tests at full length take hours." ;;
    *) echo "The first run takes about 10 minutes on two cores, half of them building; a later one about 5." ;;
esac

command -v redis-server >/dev/null || install redis-server redis redis redis >&2
redis-server --version
command -v nginx >/dev/null || install nginx-light nginx nginx nginx >&2
nginx -v 2>&1

# Incremental files are for who builds again and again. Here they are only work.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

cargo test --workspace --quiet "$@"
