//! A primary, two replicas, and three sentinels that watch them.

use super::{Proxy, RedisServer, ask, connection, eventually, program};
use crate::process::{Directory, Process, free_port};

const MASTER: &str = "mymaster";

pub struct Sentinels {
    pub servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    _process: Process,
    _directory: Directory,
}

impl Sentinels {
    pub fn start() -> Self {
        Self::start_behind(None)
    }

    /// If there is a proxy, that is what the sentinels take for the primary.
    pub fn start_behind(proxy: Option<&Proxy>) -> Self {
        let primary = RedisServer::start();
        let port = primary.port.to_string();
        let watched = proxy.map_or_else(|| port.clone(), |proxy| proxy.port.to_string());
        if let Some(proxy) = proxy {
            proxy.leads_to(primary.port);
        }
        let mut servers = vec![primary];
        for _ in 0..2 {
            servers.push(RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]));
        }
        for replica in &servers[1..] {
            eventually("a replica is in step", || {
                replica.ask::<String>("INFO replication").contains("master_link_status:up")
            });
        }
        let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(&watched)).collect();
        for sentinel in &sentinels {
            eventually("the sentinels know all", || {
                let mut connection = connection(sentinel.url());
                let info: String = ask(&mut connection, "INFO sentinel");
                info.contains("slaves=2,sentinels=3")
            });
        }
        Self { servers, sentinels }
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
        let mut connection = connection(self.sentinels[0].url());
        let (_, port): (String, u16) =
            ask(&mut connection, &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}"));
        port
    }

    pub fn server(&mut self, port: u16) -> &mut RedisServer {
        self.servers.iter_mut().find(|server| server.port == port).unwrap()
    }
}

impl Sentinel {
    fn start(primary: &str) -> Self {
        for _ in 0..10 {
            let (port, directory) = (free_port(), Directory::new());
            let path = directory.path().join("conf");
            let conf = format!(
                "port {port}\nbind 127.0.0.1\ndir {dir}\n\
                 sentinel monitor {MASTER} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {MASTER} 500\n\
                 sentinel failover-timeout {MASTER} 4000\n",
                dir = directory.path().display(),
            );
            std::fs::write(&path, conf).unwrap();
            let log = directory.path().join("log");
            let arguments = [path.to_str().unwrap(), "--sentinel"];
            let process = Process::start(&program(), &arguments, &log);
            let url = format!("redis://127.0.0.1:{port}");
            if process
                .is_ready(|| redis::Client::open(url.as_str()).unwrap().get_connection().is_ok())
            {
                return Self { port, _process: process, _directory: directory };
            }
        }
        panic!("no sentinel would start");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
