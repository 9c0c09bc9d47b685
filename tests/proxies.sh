#!/usr/bin/env bash
# Runs the suite `proxies` over all reverse proxies that it knows, and first installs those that are
# missing, from the packages of Debian. Not one of the tests of run.sh, which need nginx alone.
#
#   ./tests/proxies.sh
#   ./tests/proxies.sh uploads     what is said further goes to the test program
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Servers are often where only root looks.
PATH="$PATH:/usr/sbin:/sbin"

# The proxy as the suite names it, its program, its package.
proxies="
nginx nginx nginx-light
haproxy haproxy haproxy
apache apache2 apache2-bin
varnish varnishd varnish
caddy caddy caddy
trafficserver traffic_server trafficserver
lighttpd lighttpd lighttpd
"

missing=()
while read -r _ program package; do
    [ -z "$program" ] || command -v "$program" >/dev/null || missing+=("$package")
done <<<"$proxies"

if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "there is no apt-get to install ${missing[*]} with: install them and run this again" >&2
        exit 1
    fi
    as_root apt-get update -qq >&2
    for package in "${missing[@]}"; do
        if ! apt-get install --simulate -qq "$package" >/dev/null; then
            echo "this system has no package $package: install the proxy and run this again" >&2
            exit 1
        fi
    done
    # The tests start proxies of their own; the packages must not start any.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

version() {
    case "$1" in
        nginx | haproxy | apache2 | lighttpd) "$1" -v ;;
        varnishd | traffic_server) "$1" -V ;;
        caddy) caddy version ;;
    esac 2>&1 | grep -m 1 '[0-9]'
}

names=()
while read -r name program _; do
    [ -n "$name" ] || continue
    names+=("$name")
    echo "$name: $(version "$program")"
done <<<"$proxies"

TOLLGATE_TEST_PROXIES="$(IFS=,; echo "${names[*]}")" \
    cargo test --quiet --package tollgate-tests --test proxies -- \
    --nocapture --test-threads 1 "$@"
