//! Real servers for tests: on free ports, ended by their process id however the test ends.

mod cluster;
mod line;
mod proxy;
mod sentinel;
mod tls;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, IntoConnectionInfo};

use crate::process::{Directory, PATIENCE, Process, Program};

pub use crate::process::free_port;

pub use self::cluster::RedisCluster;
pub use self::line::Line;
pub use self::proxy::{Fault, Proxy};
pub use self::sentinel::{LoneSentinel, Passwords, SENTINEL_USER, Sentinels};
pub use self::tls::{Certificates, ClientFiles};

/// The server to run: another one that speaks the protocol may be named.
fn program() -> Program {
    let name = std::env::var("TOLLGATE_TEST_REDIS_SERVER");
    let name = name.unwrap_or_else(|_| "redis-server".to_owned());
    Program { name, installed_by: "./tests/run.sh" }
}

/// Returns `true` if the server can be told the port at which nodes of a cluster speak to each other.
fn has_cluster_port() -> bool {
    static HAS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *HAS.get_or_init(|| {
        let text = program().output(&["--version"]);
        let version = text.split_once("v=").unwrap_or_else(|| panic!("{text}")).1;
        version.split('.').next().unwrap().parse::<u32>().unwrap() >= 7
    })
}

/// The distance of that port from the port of clients if the server cannot be told, as before Redis 7.
const CLUSTER_PORT_ABOVE: u16 = 10_000;

/// A free port for a server with these options.
fn free_port_for(options: &[String]) -> u16 {
    let is_node = options.iter().any(|option| option == "--cluster-enabled");
    let is_bounded = is_node && !has_cluster_port();
    loop {
        let port = free_port();
        if !is_bounded || port < u16::MAX - CLUSTER_PORT_ABOVE {
            return port;
        }
    }
}

/// One server.
pub struct RedisServer {
    process: Option<Process>,
    pub port: u16,
    directory: Directory,
    options: Vec<String>,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further options, as on the command line.
    pub fn start_with(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        for _ in 0..10 {
            let (port, directory) = (free_port_for(&options), Directory::new());
            let options = options.clone();
            let mut server = Self { process: None, port, directory, options };
            // Somebody else may have taken the port meanwhile.
            if server.restart() {
                return server;
            }
        }
        panic!("no server would start");
    }

    /// With TLS on a port of its own.
    pub fn start_tls(certificates: &Certificates) -> Self {
        Self::start_tls_with(certificates, false, &[])
    }

    /// With TLS on a port of its own; for clients with a certificate only, if `clients` is `true`.
    pub fn start_tls_with(certificates: &Certificates, clients: bool, more: &[&str]) -> Self {
        for _ in 0..10 {
            let directory = Directory::new();
            let port = free_port();
            let tls = certificates.options(&directory.path(), free_port(), clients);
            let tls = tls.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]);
            let options = tls.chain(more.iter().map(|option| (*option).to_owned())).collect();
            let mut server = Self { process: None, port, directory, options };
            if server.restart() {
                return server;
            }
        }
        panic!("no server would start");
    }

    pub fn tls_port(&self) -> u16 {
        let at = self.options.iter().position(|option| option == "--tls-port").unwrap();
        self.options[at + 1].parse().unwrap()
    }

    /// Starts it again, on the same port. Says whether it runs.
    pub fn restart(&mut self) -> bool {
        let port = self.port.to_string();
        let directory = self.directory.path();
        let socket = self.socket();
        let mut arguments = vec![
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--dir",
            directory.to_str().unwrap(),
            "--unixsocket",
            socket.to_str().unwrap(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--loglevel",
            "notice",
        ];
        arguments.extend(self.options.iter().map(String::as_str));
        self.process = Some(Process::start(&program(), &arguments, &directory.join("log")));
        self.answers()
    }

    fn answers(&self) -> bool {
        let socket = format!("redis+unix://{}", self.socket().display());
        let process = self.process.as_ref().unwrap();
        process.is_ready(|| {
            let client = redis::Client::open(socket.as_str()).unwrap();
            let Ok(mut connection) = client.get_connection() else { return false };
            match redis::cmd("PING").query::<redis::Value>(&mut connection) {
                Ok(_) => true,
                // It answers, if only to those who have a password.
                Err(error) => error.code() == Some("NOAUTH"),
            }
        })
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn directory(&self) -> PathBuf {
        self.directory.path()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it from running, without ending it; and lets it run on.
    pub fn freeze(&self, frozen: bool) {
        self.process.as_ref().unwrap().signal(if frozen { "STOP" } else { "CONT" });
    }

    pub fn connection(&self) -> Connection {
        connection(self.url().as_str())
    }

    /// What it answers to a command given as words.
    pub fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        ask(&mut self.connection(), words)
    }

    /// How often each command was called, by its own count.
    pub fn calls(&self, command: &str) -> u64 {
        calls(&mut self.connection(), command)
    }
}

pub fn connection(to: impl IntoConnectionInfo) -> Connection {
    redis::Client::open(to).unwrap().get_connection().unwrap()
}

pub fn ask<T: FromRedisValue>(connection: &mut Connection, words: &str) -> T {
    let mut words = words.split_ascii_whitespace();
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query(connection).unwrap()
}

pub fn calls(connection: &mut Connection, command: &str) -> u64 {
    let info: String = ask(connection, "INFO commandstats");
    // Before Redis 7 a command is counted as a whole.
    let whole = command.split('|').next().unwrap();
    let calls = [command, whole].iter().find_map(|name| {
        let line = format!("cmdstat_{name}:calls=");
        info.lines().find_map(|text| text.strip_prefix(&line))
    });
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

/// Waits for something that comes by itself; how long says only when to give up.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
