#!/usr/bin/env bash
# huggingface_hub: the first item of `RateLimit` counts for more than `Retry-After`, if its name is a word.
#
# A server refuses with 429, `Retry-After: 4` and two exhausted limits in `RateLimit`. By the draft of
# the IETF the items may come in any order; `Retry-After` is for the whole response.
#
#   huggingface_hub 2.4.0, `http_backoff`
#     Retry-After alone                               comes again after 5 s: it adds a second
#     RateLimit: "search";r=0;t=1, "account";r=0;t=4  after 2 s: the first item alone was read
#     the same items the other way round              after 5 s
#     RateLimit: "by-ip";r=0;t=1, "account";r=0;t=4   after 5 s: a name with a hyphen is not read
#
# So a server that wants its word kept writes first the item that waits longest.
#
# Needs python3 with venv, and the network. Fails if the package behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check huggingface_hub==2.4.0

cat >"$folder/ask.py" <<'PY'
import http.server
import threading
import time

from huggingface_hub.utils import http_backoff

arrivals, fields = [], {}


class Refuses(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        arrivals.append(time.monotonic())
        self.send_response(429 if len(arrivals) == 1 else 200)
        if len(arrivals) == 1:
            for name, value in fields.items():
                self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Refuses)
threading.Thread(target=server.serve_forever, daemon=True).start()
for items in (
    None,
    '"search";r=0;t=1, "account";r=0;t=4',
    '"account";r=0;t=4, "search";r=0;t=1',
    '"by-ip";r=0;t=1, "account";r=0;t=4',
):
    arrivals.clear()
    fields = {"Retry-After": "4"} | ({"RateLimit": items} if items else {})
    http_backoff("GET", f"http://127.0.0.1:{server.server_port}/")
    print(f"{items}: {int(arrivals[1] - arrivals[0])} s")
PY

seen=$("$folder/python/bin/python" "$folder/ask.py" 2>/dev/null)
expected='None: 5 s
"search";r=0;t=1, "account";r=0;t=4: 2 s
"account";r=0;t=4, "search";r=0;t=1: 5 s
"by-ip";r=0;t=1, "account";r=0;t=4: 5 s'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'this was:\n%s\n' "$expected" >&2; exit 1; }
