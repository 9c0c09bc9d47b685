#!/usr/bin/env bash
# The two packages as they are published: packed, unpacked outside the repository and built there
# by a crate that depends on `tollgate` and has every feature on.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(-p tollgate-macros -p tollgate)
cargo package "${packages[@]}" --no-verify --allow-dirty --quiet
version=$(cargo pkgid -p tollgate | sed 's/.*[@#]//')

user=$(mktemp -d)
trap 'rm -r "$user"' EXIT
for name in tollgate tollgate-macros; do
    # Packed files are all of one day in 2006: without `-m`, cargo would take them for built.
    tar -xmzf "${CARGO_TARGET_DIR:-target}/package/$name-$version.crate" -C "$user"
    for file in README.md LICENSE-MIT LICENSE-APACHE; do
        [ -s "$user/$name-$version/$file" ] || { echo "$name is packed without $file" >&2; exit 1; }
    done
done

cat >"$user/Cargo.toml" <<END
[package]
name = "user"
version = "0.0.0"
edition = "2024"

[workspace]
exclude = ["tollgate-$version", "tollgate-macros-$version"]

[dependencies]
tollgate = { version = "=$version", features = ["config", "dashboard", "metrics", "redis"] }

[patch.crates-io]
tollgate = { path = "tollgate-$version" }
tollgate-macros = { path = "tollgate-macros-$version" }
END
mkdir "$user/src"
cat >"$user/src/lib.rs" <<END
#[tollgate::rate_limit(100, per = 60)]
pub async fn search() -> &'static str {
    "found"
}
END
cp Cargo.lock "$user" # the versions that are here already

target=${CARGO_TARGET_DIR:-$PWD/target}/package-user
cd "$user"
CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 cargo check --quiet
echo "tollgate and tollgate-macros $version build as they are packed"
