#!/usr/bin/env bash
# Azure's two cores: of `Retry-After` and `retry-after-ms` each believes another one.
#
# A server refuses with 429 and says the wait twice, in seconds and in Azure's own field of
# milliseconds, and the two differ. One of Azure's libraries waits by the one, one by the other:
#
#   @azure/core-rest-pipeline 1.25.1 (npm)   retry-after-ms: comes again after 1 s
#   azure-core 1.41.0 (PyPI)                 Retry-After: comes again after 3 s
#
# Each obeys either field where it stands alone. A server that sends both makes them agree.
#
# Needs node, npm, python3 with venv, and the network. Fails if the packages behave otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @azure/core-rest-pipeline@1.25.1
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check azure-core==1.41.0 requests==2.34.2

cat >server.mjs <<'JS'
// Refuses every second request, and tells the whole seconds since the refusal on the next one.
import http from 'node:http'

let refused
const server = http.createServer((request, response) => {
  if (refused === undefined) {
    refused = performance.now()
    const fields = Object.fromEntries(new URL(request.url, 'http://a').searchParams)
    response.writeHead(429, fields).end()
  } else {
    response.end(String(Math.floor((performance.now() - refused + 50) / 1000)))
    refused = undefined
  }
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
JS

cat >ask.mjs <<'JS'
import * as azure from '@azure/core-rest-pipeline'

const request = azure.createPipelineRequest({ url: process.argv[2], allowInsecureConnection: true })
const pipeline = azure.createPipelineFromOptions({})
const response = await pipeline.sendRequest(azure.createDefaultHttpClient(), request)
console.log(response.bodyAsText)
JS

cat >ask.py <<'PY'
import sys

from azure.core import PipelineClient
from azure.core.pipeline.policies import RetryPolicy
from azure.core.rest import HttpRequest

client = PipelineClient(sys.argv[1], policies=[RetryPolicy()])
print(client.send_request(HttpRequest("GET", sys.argv[1])).text())
PY

coproc SERVER { node server.mjs; }
server=$SERVER_PID
trap 'kill "$server"; rm -rf "$folder"' EXIT
read -r port <&"${SERVER[0]}"

seen=$(
  for fields in 'retry-after=3' 'retry-after-ms=1000' 'retry-after=3&retry-after-ms=1000'; do
    url="http://127.0.0.1:$port/?$fields"
    printf '%s: npm %s s, PyPI %s s\n' "$fields" "$(node ask.mjs "$url")" "$(python/bin/python ask.py "$url")"
  done
)
expected='retry-after=3: npm 3 s, PyPI 3 s
retry-after-ms=1000: npm 1 s, PyPI 1 s
retry-after=3&retry-after-ms=1000: npm 1 s, PyPI 3 s'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'this was:\n%s\n' "$expected" >&2; exit 1; }
