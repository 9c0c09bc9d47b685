//! Real reverse proxies for tests: on free ports of both loopbacks, ended by their process id however
//! the test ends.

mod configuration;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use self::configuration::Command;
use crate::process::{Directory, Process, Program, free_port};

/// The proxies that there are to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    Nginx,
    Haproxy,
    Apache,
    Varnish,
    Caddy,
    TrafficServer,
    Lighttpd,
}

impl ProxyKind {
    pub const ALL: [Self; 7] = [
        Self::Nginx,
        Self::Haproxy,
        Self::Apache,
        Self::Varnish,
        Self::Caddy,
        Self::TrafficServer,
        Self::Lighttpd,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Apache => "apache",
            Self::Varnish => "varnish",
            Self::Caddy => "caddy",
            Self::TrafficServer => "trafficserver",
            Self::Lighttpd => "lighttpd",
        }
    }

    /// Those that `TOLLGATE_TEST_PROXIES` names, with commas between them; nginx if it does not.
    pub fn under_test() -> Vec<Self> {
        let names = std::env::var("TOLLGATE_TEST_PROXIES");
        let names = names.unwrap_or_else(|_| "nginx".to_owned());
        let kind = |name: &str| {
            let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
            found.unwrap_or_else(|| panic!("TOLLGATE_TEST_PROXIES names no proxy by {name:?}"))
        };
        names.split(',').map(kind).collect()
    }

    /// `true` if it writes `Forwarded`, with a line of its configuration.
    pub fn writes_forwarded(self) -> bool {
        matches!(self, Self::Nginx | Self::TrafficServer | Self::Lighttpd)
    }

    /// `true` if it sends requests to several servers in turn, by a plain configuration.
    pub fn balances(self) -> bool {
        self != Self::TrafficServer
    }

    fn program(self) -> Program {
        let name = match self {
            Self::Apache => "apache2",
            Self::Varnish => "varnishd",
            Self::TrafficServer => "traffic_server",
            _ => self.name(),
        };
        let installed_by =
            if self == Self::Nginx { "./tests/run.sh" } else { "./tests/proxies.sh" };
        Program { name: name.to_owned(), installed_by }
    }
}

/// The setup of a proxy.
#[derive(Clone, Debug)]
pub struct ProxySetup {
    pub kind: ProxyKind,
    /// The ports of the servers behind it, on 127.0.0.1.
    pub servers: Vec<u16>,
    /// The largest body that it lets through, where that has to be set.
    pub max_body: Option<usize>,
    /// It names the client by `Forwarded`, and not only by `X-Forwarded-For`.
    pub forwarded: bool,
    /// It speaks HTTP/2 with the servers. Only HAProxy can.
    pub http2: bool,
}

impl ProxySetup {
    pub fn new(kind: ProxyKind, servers: &[u16]) -> Self {
        let servers = servers.to_vec();
        Self { kind, servers, max_body: None, forwarded: false, http2: false }
    }

    pub fn max_body(self, bytes: usize) -> Self {
        Self { max_body: Some(bytes), ..self }
    }

    pub fn forwarded(self, forwarded: bool) -> Self {
        Self { forwarded, ..self }
    }

    pub fn http2(self) -> Self {
        Self { http2: true, ..self }
    }

    pub fn start(self) -> ReverseProxy {
        for _ in 0..10 {
            let (port, directory) = (free_port(), Directory::new());
            let Command { arguments, environment } = self.command(port, &directory.path());
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let log = directory.path().join("log");
            let program = self.kind.program();
            let process = Process::start_in(&program, &environment, &arguments, &log);
            // Somebody else may have taken the port meanwhile.
            if process.is_ready(|| loopbacks(port).iter().all(|to| TcpStream::connect(to).is_ok()))
            {
                return ReverseProxy { port, _process: process, _directory: directory };
            }
        }
        panic!("no {} would start", self.kind.name());
    }
}

fn loopbacks(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// A proxy that runs.
pub struct ReverseProxy {
    port: u16,
    // The process ends before its directory goes.
    _process: Process,
    _directory: Directory,
}

impl ReverseProxy {
    /// The address for a client with this address.
    pub fn address(&self, client: IpAddr) -> SocketAddr {
        loopbacks(self.port)[usize::from(client.is_ipv6())]
    }
}
