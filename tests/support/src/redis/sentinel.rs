//! A primary, two replicas, and three sentinels that watch them.

use super::{Proxy, RedisServer, ask, connection, eventually, program};
use crate::process::{Directory, Process, free_port};

const MASTER: &str = "mymaster";

/// The user of sentinels that have a password.
pub const SENTINEL_USER: &str = "watcher";

/// The passwords of servers and sentinels. An empty one is none.
#[derive(Clone, Copy, Default)]
pub struct Passwords<'a> {
    pub servers: &'a str,
    /// Of the default user, and of [`SENTINEL_USER`].
    pub sentinels: &'a str,
}

pub struct Sentinels {
    pub servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
    sentinel_password: String,
}

struct Sentinel {
    port: u16,
    _process: Process,
    _directory: Directory,
}

impl Sentinels {
    pub fn start() -> Self {
        Self::start_with(None, Passwords::default())
    }

    pub fn start_with_passwords(passwords: Passwords<'_>) -> Self {
        Self::start_with(None, passwords)
    }

    /// If there is a proxy, that is what the sentinels take for the primary.
    pub fn start_behind(proxy: Option<&Proxy>) -> Self {
        Self::start_with(proxy, Passwords::default())
    }

    fn start_with(proxy: Option<&Proxy>, passwords: Passwords<'_>) -> Self {
        let Passwords { servers: password, sentinels: sentinel_password } = passwords;
        let options: &[&str] = match password {
            "" => &[],
            password => &["--requirepass", password, "--masterauth", password],
        };
        let primary = RedisServer::start_with(options);
        let port = primary.port.to_string();
        let watched = proxy.map_or_else(|| port.clone(), |proxy| proxy.port.to_string());
        if let Some(proxy) = proxy {
            proxy.leads_to(primary.port);
        }
        let mut servers = vec![primary];
        for _ in 0..2 {
            let options = [&["--replicaof", "127.0.0.1", &port], options].concat();
            servers.push(RedisServer::start_with(&options));
        }
        for replica in &servers[1..] {
            eventually("a replica is in step", || {
                let mut connection = connection(url_of(replica.port, password));
                let info: String = ask(&mut connection, "INFO replication");
                info.contains("master_link_status:up")
            });
        }
        let sentinels: Vec<Sentinel> =
            (0..3).map(|_| Sentinel::start(&watched, passwords)).collect();
        for sentinel in &sentinels {
            eventually("the sentinels know all", || {
                let mut connection = connection(url_of(sentinel.port, sentinel_password));
                let info: String = ask(&mut connection, "INFO sentinel");
                info.contains("slaves=2,sentinels=3")
            });
        }
        Self { servers, sentinels, sentinel_password: sentinel_password.to_owned() }
    }

    /// The URL of the sentinels.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis://{}/0?sentinel_master={MASTER}", hosts.join(","))
    }

    pub fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|sentinel| sentinel.port).collect()
    }

    /// The port of the primary, as the first sentinel knows it.
    pub fn primary(&self) -> u16 {
        let mut connection = connection(url_of(self.sentinels[0].port, &self.sentinel_password));
        let (_, port): (String, u16) =
            ask(&mut connection, &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}"));
        port
    }

    /// Sets an option of the master at every sentinel.
    pub fn set(&self, option: &str) {
        for sentinel in &self.sentinels {
            let mut connection = connection(url_of(sentinel.port, &self.sentinel_password));
            let _: String = ask(&mut connection, &format!("SENTINEL SET {MASTER} {option}"));
        }
    }

    /// Makes the first sentinel name another primary, though the present one is well.
    pub fn fail_over(&self) {
        let mut connection = connection(url_of(self.sentinels[0].port, &self.sentinel_password));
        let _: String = ask(&mut connection, &format!("SENTINEL FAILOVER {MASTER}"));
    }

    pub fn server(&mut self, port: u16) -> &mut RedisServer {
        self.servers.iter_mut().find(|server| server.port == port).unwrap()
    }
}

impl Sentinel {
    fn start(primary: &str, passwords: Passwords<'_>) -> Self {
        let mut access = String::new();
        if !passwords.servers.is_empty() {
            access += &format!("sentinel auth-pass {MASTER} {}\n", passwords.servers);
        }
        if !passwords.sentinels.is_empty() {
            let password = passwords.sentinels;
            access += &format!(
                "requirepass {password}\nsentinel sentinel-pass {password}\n\
                 user {SENTINEL_USER} on >{password} ~* &* +@all\n"
            );
        }
        for _ in 0..10 {
            let (port, directory) = (free_port(), Directory::new());
            let path = directory.path().join("conf");
            let conf = format!(
                "port {port}\nbind 127.0.0.1\ndir {dir}\n\
                 sentinel monitor {MASTER} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {MASTER} 500\n\
                 sentinel failover-timeout {MASTER} 4000\n{access}",
                dir = directory.path().display(),
            );
            std::fs::write(&path, conf).unwrap();
            let log = directory.path().join("log");
            let arguments = [path.to_str().unwrap(), "--sentinel"];
            let process = Process::start(&program(), &arguments, &log);
            let url = url_of(port, passwords.sentinels);
            if process
                .is_ready(|| redis::Client::open(url.as_str()).unwrap().get_connection().is_ok())
            {
                return Self { port, _process: process, _directory: directory };
            }
        }
        panic!("no sentinel would start");
    }
}

/// One sentinel of one server, with further lines in its configuration.
pub struct LoneSentinel {
    pub port: u16,
    _process: Process,
    _directory: Directory,
}

impl LoneSentinel {
    /// `more` returns the lines, given a folder for their files.
    pub fn start(primary: u16, more: impl Fn(&std::path::Path) -> String) -> Self {
        for _ in 0..10 {
            let (port, directory) = (free_port(), Directory::new());
            let path = directory.path().join("conf");
            let conf = format!(
                "port {port}\nbind 127.0.0.1\ndir {dir}\n\
                 sentinel monitor {MASTER} 127.0.0.1 {primary} 1\n{more}",
                dir = directory.path().display(),
                more = more(&directory.path()),
            );
            std::fs::write(&path, conf).unwrap();
            let arguments = [path.to_str().unwrap(), "--sentinel"];
            let process = Process::start(&program(), &arguments, &directory.path().join("log"));
            let url = url_of(port, "");
            if process
                .is_ready(|| redis::Client::open(url.as_str()).unwrap().get_connection().is_ok())
            {
                return Self { port, _process: process, _directory: directory };
            }
        }
        panic!("no sentinel would start");
    }
}

fn url_of(port: u16, password: &str) -> String {
    match password {
        "" => format!("redis://127.0.0.1:{port}"),
        password => format!("redis://:{password}@127.0.0.1:{port}"),
    }
}
