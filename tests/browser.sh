#!/usr/bin/env bash
# Looks at the dashboard in Chromium, which it first installs, with its driver, where it is missing.
# Not one of the tests of run.sh: it needs a browser.
#
#   ./tests/browser.sh
#   TOLLGATE_DRAW=1 ./tests/browser.sh     also takes the picture in docs/
set -euo pipefail
cd "$(dirname "$0")/browser"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_chromium() {
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends chromium chromium-driver
    elif command -v dnf >/dev/null; then
        as_root dnf install -y -q chromium chromedriver
    elif command -v apk >/dev/null; then
        as_root apk add --quiet chromium chromium-chromedriver
    else
        echo "chromedriver is missing, and there is no apt-get, dnf or apk to install it with:" \
            "install Chromium and its driver and run this again" >&2
        exit 1
    fi
}

command -v chromedriver >/dev/null || install_chromium >&2
chromedriver --version

cargo test --quiet "$@"
