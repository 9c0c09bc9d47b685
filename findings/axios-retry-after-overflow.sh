#!/usr/bin/env bash
# axios-retry: a wait of 25 days is no wait at all.
#
# A server refuses with 429 and `Retry-After`, in seconds, as it may for a monthly quota.
#
#   axios-retry 4.5.0 on axios 1.21.1, Node.js 20
#     Retry-After: 2147483   the client waits (24.8 days).
#     Retry-After: 2147484   all three retries follow at once.
#
# The wait is handed to `setTimeout` in milliseconds. Above 2^31 - 1 Node.js takes 1 millisecond in its
# place, and says so only as a TimeoutOverflowWarning on the error output.
#
# Needs node, npm and the network. Fails if the packages behave otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund axios@1.21.1 axios-retry@4.5.0

cat >ask.mjs <<'JS'
import http from 'node:http'
import axios from 'axios'
import axiosRetry from 'axios-retry'

for (const seconds of [2147483, 2147484]) {
  let requests = 0
  const server = http.createServer((request, response) => {
    requests += 1
    response.writeHead(429, { 'retry-after': String(seconds) }).end()
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  const client = axios.create()
  axiosRetry(client, { retries: 3, retryCondition: (error) => error.response?.status === 429 })
  const ended = client.get(`http://127.0.0.1:${server.address().port}/`).catch(() => {})
  // Whoever waits for days is not waited for.
  await Promise.race([ended, new Promise((passed) => setTimeout(passed, 2000))])
  console.log(`Retry-After: ${seconds}: ${requests} requests`)
  server.close()
  server.closeAllConnections()
}
process.exit()
JS

seen=$(node ask.mjs)
expected='Retry-After: 2147483: 1 requests
Retry-After: 2147484: 4 requests'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'this was:\n%s\n' "$expected" >&2; exit 1; }
