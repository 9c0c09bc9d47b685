#!/usr/bin/env bash
# ratelimit-header-parser: a response with the new fields hides the old ones.
#
# A server sends `RateLimit` and `RateLimit-Policy` as drafts 8 and later of the IETF have them, and for
# older clients `X-RateLimit-*` beside them.
#
#   ratelimit-header-parser 0.1.0   as soon as `RateLimit` is there, it is read as draft 7 had it
#                                   (`limit=5, remaining=0, reset=7`), which this is not: every number is
#                                   NaN and the reset an invalid date. The old fields are not looked at.
#
# So `X-RateLimit-*` is no help to its users unless the server sends nothing else.
#
# Seen with Node.js 20; needs npm and the network. Fails if the package behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund ratelimit-header-parser@0.1.0

cat >parse.mjs <<'JS'
import { parseRateLimit } from 'ratelimit-header-parser'

const draft = { 'ratelimit-policy': '"greet";q=5;w=10', ratelimit: '"greet";r=0;t=7' }
const legacy = { 'x-ratelimit-limit': '5', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '7' }

function show(name, headers) {
  const { limit, remaining, reset } = parseRateLimit(headers)
  const when = Number.isNaN(reset.getTime()) ? 'never' : 'known'
  console.log(`${name}: limit ${limit}, remaining ${remaining}, reset ${when}`)
}

show('old fields', legacy)
show('new fields', draft)
show('both', { ...draft, ...legacy })
JS

seen=$(node parse.mjs)
expected='old fields: limit 5, remaining 0, reset known
new fields: limit NaN, remaining NaN, reset never
both: limit NaN, remaining NaN, reset never'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'this was:\n%s\n' "$expected" >&2; exit 1; }
