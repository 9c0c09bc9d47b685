//! The plainest documented configuration of each proxy.

use std::path::Path;

use super::{ProxyKind, ProxySetup};

/// How a proxy is started.
pub(super) struct Command {
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
}

impl ProxySetup {
    /// Writes the configuration, and returns the command that starts the proxy with it: in the
    /// foreground and, where that can be had, as one process.
    pub(super) fn command(&self, port: u16, directory: &Path) -> Command {
        let path = directory.display();
        let write = |name: &str, text: String| {
            std::fs::write(directory.join(name), text).unwrap();
            format!("{path}/{name}")
        };
        let mut environment = Vec::new();
        let arguments = match self.kind {
            ProxyKind::Nginx => {
                format!("-e stderr -p {path} -c {}", write("nginx.conf", self.nginx(port)))
            }
            ProxyKind::Haproxy => format!("-db -f {}", write("haproxy.cfg", self.haproxy(port))),
            ProxyKind::Apache => {
                let configuration = write("apache.conf", self.apache(port, directory));
                format!("-X -d {path} -f {configuration} -e error")
            }
            ProxyKind::Varnish => {
                let configuration = write("default.vcl", self.varnish());
                let memory = "-s malloc,64m -s Transient=malloc,64m";
                let listen = format!("-a 127.0.0.1:{port} -a [::1]:{port}");
                format!("-F -j none -n {path}/run {memory} {listen} -f {configuration}")
            }
            ProxyKind::Caddy => {
                for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                    environment.push((name.to_owned(), path.to_string()));
                }
                format!("run --adapter caddyfile --config {}", write("Caddyfile", self.caddy(port)))
            }
            ProxyKind::TrafficServer => {
                let layout = self.traffic_server(port, &write, directory);
                environment.push(("TS_RUNROOT".to_owned(), layout));
                String::new()
            }
            ProxyKind::Lighttpd => {
                format!("-D -f {}", write("lighttpd.conf", self.lighttpd(port, directory)))
            }
        };
        Command {
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            environment,
        }
    }

    /// A line for each server.
    fn servers(&self, line: impl Fn(usize, u16) -> String) -> String {
        self.servers.iter().enumerate().map(|(at, port)| line(at, *port) + "\n").collect()
    }

    fn nginx(&self, port: u16) -> String {
        let servers = self.servers(|_, server| format!("server 127.0.0.1:{server};"));
        let max_body =
            self.max_body.map_or_else(String::new, |max| format!("client_max_body_size {max};"));
        let header = if self.forwarded {
            "proxy_set_header Forwarded $forwarded_for;"
        } else {
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
        };
        format!(
            r#"
            daemon off;
            master_process off;
            pid pid;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path body;
                proxy_temp_path proxy;
                fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi;
                scgi_temp_path scgi;
                map $remote_addr $forwarded_for {{
                    ~: "for=\"[$remote_addr]\"";
                    default "for=$remote_addr";
                }}
                upstream app {{ {servers} }}
                server {{
                    listen 127.0.0.1:{port};
                    listen [::1]:{port};
                    {max_body}
                    location / {{
                        proxy_pass http://app;
                        {header}
                    }}
                }}
            }}
            "#
        )
    }

    fn haproxy(&self, port: u16) -> String {
        let http2 = if self.http2 { " proto h2" } else { "" };
        let servers =
            self.servers(|at, server| format!("  server s{at} 127.0.0.1:{server}{http2}"));
        format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  \
             timeout server 30s\nlisten app\n  bind 127.0.0.1:{port}\n  bind [::1]:{port}\n  \
             option forwardfor\n  balance roundrobin\n{servers}"
        )
    }

    fn apache(&self, port: u16, directory: &Path) -> String {
        let modules = [
            "mpm_event",
            "authz_core",
            "proxy",
            "proxy_http",
            "slotmem_shm",
            "proxy_balancer",
            "lbmethod_byrequests",
        ];
        let modules: String = modules
            .iter()
            .map(|name| format!("LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n"))
            .collect();
        let members = self.servers(|_, server| format!("BalancerMember http://127.0.0.1:{server}"));
        let path = directory.display();
        format!(
            "{modules}
            DefaultRuntimeDir {path}
            PidFile {path}/pid
            ErrorLog /dev/stderr
            ServerName localhost
            <IfModule unixd_module>
            User nobody
            Group nogroup
            </IfModule>
            Listen 127.0.0.1:{port}
            Listen [::1]:{port}
            <Proxy balancer://app>
            {members}
            </Proxy>
            ProxyPass / balancer://app/
            "
        )
    }

    fn varnish(&self) -> String {
        let backends = self.servers(|at, server| {
            format!("backend s{at} {{ .host = \"127.0.0.1\"; .port = \"{server}\"; }}")
        });
        if self.servers.len() == 1 {
            return format!("vcl 4.1;\n{backends}");
        }
        let add = self.servers(|at, _| format!("app.add_backend(s{at});"));
        format!(
            "vcl 4.1;\nimport directors;\n{backends}
            sub vcl_init {{ new app = directors.round_robin();\n{add} }}
            sub vcl_recv {{ set req.backend_hint = app.backend(); }}\n"
        )
    }

    fn caddy(&self, port: u16) -> String {
        let servers = self.servers(|_, server| format!("to 127.0.0.1:{server}"));
        format!(
            "{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n bind 127.0.0.1 [::1]\n \
             reverse_proxy {{\n {servers} lb_policy round_robin\n }}\n}}\n"
        )
    }

    fn traffic_server(
        &self,
        port: u16,
        write: &impl Fn(&str, String) -> String,
        directory: &Path,
    ) -> String {
        let path = directory.display();
        let insert = if self.forwarded { "for" } else { "none" };
        let ports = format!("{port}:ip-in=127.0.0.1 {port}:ip-in=[::1]");
        let records = [
            format!("proxy.config.http.server_ports STRING {ports}"),
            format!("proxy.config.http.insert_forwarded STRING {insert}"),
            "proxy.config.http.insert_squid_x_forwarded_for INT 1".to_owned(),
            "proxy.config.reverse_proxy.enabled INT 1".to_owned(),
            "proxy.config.http.cache.http INT 0".to_owned(),
            "proxy.config.admin.user_id STRING #-1".to_owned(),
            "proxy.config.crash_log_helper STRING NULL".to_owned(),
            "proxy.config.diags.output.error STRING E".to_owned(),
            "proxy.config.diags.output.fatal STRING E".to_owned(),
        ];
        write("records.config", records.map(|record| format!("CONFIG {record}\n")).concat());
        // Without storage, it keeps nothing.
        for name in ["storage.config", "volume.config", "plugin.config"] {
            write(name, String::new());
        }
        let map = self.servers(|_, server| format!("map / http://127.0.0.1:{server}/"));
        write("remap.config", map);
        write(
            "ip_allow.yaml",
            "ip_allow:\n- apply: in\n  ip_addrs: [0/0, '::/0']\n  action: allow\n  methods: ALL\n"
                .to_owned(),
        );
        let system = [("bindir", "/usr/bin"), ("sbindir", "/usr/sbin"), ("libdir", "/usr/lib")];
        let system = system.map(|(name, folder)| format!("{name}: {folder}\n")).concat();
        let own = [
            "prefix",
            "exec_prefix",
            "sysconfdir",
            "datadir",
            "includedir",
            "libexecdir",
            "localstatedir",
            "runtimedir",
            "logdir",
            "mandir",
            "infodir",
            "cachedir",
        ];
        let own = own.map(|name| format!("{name}: {path}\n")).concat();
        write("runroot.yaml", system + &own)
    }

    fn lighttpd(&self, port: u16, directory: &Path) -> String {
        let servers = self
            .servers(|_, server| format!("( \"host\" => \"127.0.0.1\", \"port\" => {server} ),"));
        let forwarded = if self.forwarded { "proxy.forwarded = ( \"for\" => 1 )" } else { "" };
        let path = directory.display();
        format!(
            "server.document-root = \"{path}\"
            server.upload-dirs = ( \"{path}\" )
            server.modules = ( \"mod_proxy\" )
            server.bind = \"127.0.0.1\"
            server.port = {port}
            $SERVER[\"socket\"] == \"[::1]:{port}\" {{ }}
            proxy.balance = \"round-robin\"
            proxy.server = ( \"\" => ( {servers} ) )
            {forwarded}\n"
        )
    }
}

/// Where Debian has them.
const APACHE_MODULES: &str = "/usr/lib/apache2/modules";
