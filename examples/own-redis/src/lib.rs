//! Redis servers that an example starts for itself, and ends: one, a primary that sentinels watch,
//! or a cluster. `redis-server` must be installed.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A fallible step of an example.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long servers may take for what they do by themselves.
const PATIENCE: Duration = Duration::from_secs(20);

/// One server, on a port of its own.
#[derive(Debug)]
pub struct OwnRedis {
    process: Option<Child>,
    port: u16,
    arguments: Vec<String>,
}

impl OwnRedis {
    /// Starts a server that writes nothing to disk.
    ///
    /// # Errors
    ///
    /// If `redis-server` is not installed, or does not answer.
    pub fn start() -> Result<Self> {
        Self::start_with(free_port()?, &[])
    }

    fn start_with(port: u16, options: &[&str]) -> Result<Self> {
        let text = port.to_string();
        let always = ["--port", &text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        Self::start_by(port, always.iter().chain(options))
    }

    fn start_by<'a>(port: u16, arguments: impl IntoIterator<Item = &'a &'a str>) -> Result<Self> {
        let arguments = arguments.into_iter().map(|&argument| argument.to_owned()).collect();
        let mut own = Self { process: None, port, arguments };
        own.run()?;
        Ok(own)
    }

    /// Runs it, again perhaps, on the same port.
    ///
    /// # Errors
    ///
    /// If `redis-server` is not installed, or does not answer.
    pub fn run(&mut self) -> Result<()> {
        let mut command = Command::new("redis-server");
        let process = command.args(&self.arguments).stdout(Stdio::null()).spawn();
        self.process = Some(process.map_err(|error| {
            format!(
                "cannot start redis-server: {error}. Install Redis 7.0 or later (Debian, Ubuntu: \
                 apt install redis-server; macOS: brew install redis)"
            )
        })?);
        until("redis-server answers", || Ok(self.ask("PING").is_ok()))
    }

    /// Returns `true` unless it was [killed](Self::kill).
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Sends it the signal of this name.
    ///
    /// # Errors
    ///
    /// If there is no program `kill`.
    pub fn signal(&self, signal: &str) -> Result<()> {
        if let Some(process) = &self.process {
            let pid = process.id().to_string();
            Command::new("kill").args([format!("-{signal}"), pid]).status()?;
        }
        Ok(())
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The URL of its first database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The beginning of what it answers to a command: all of it, if that is short.
    fn ask(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "{command}\r\n")?;
        let mut answer = [0; 16 << 10];
        let length = stream.read(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        if answer.is_empty() || answer.starts_with('-') {
            return Err(format!("redis-server answered {command:?} with {answer:?}").into());
        }
        Ok(answer)
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A primary, a replica, and three sentinels that put the replica in the primary's place when that
/// is lost.
#[derive(Debug)]
pub struct OwnSentinels {
    primary: OwnRedis,
    _replica: OwnRedis,
    sentinels: Vec<OwnRedis>,
    _directory: Directory,
}

impl OwnSentinels {
    /// Starts them all, and waits until they know of each other.
    ///
    /// # Errors
    ///
    /// If `redis-server` is not installed, or one does not answer.
    pub fn start() -> Result<Self> {
        let primary = OwnRedis::start()?;
        let port = primary.port.to_string();
        let replica = OwnRedis::start_with(free_port()?, &["--replicaof", "127.0.0.1", &port])?;
        until("the replica is in step", || {
            Ok(replica.ask("INFO replication")?.contains("master_link_status:up"))
        })?;
        let directory = Directory::new()?;
        let mut sentinels = Vec::new();
        for number in 1..=3 {
            // A sentinel writes what it learns into its file.
            let file = directory.0.join(format!("sentinel-{number}.conf"));
            let own = free_port()?;
            let settings = format!(
                "port {own}\nbind 127.0.0.1\n\
                 sentinel monitor mymaster 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds mymaster 500\n\
                 sentinel failover-timeout mymaster 4000\n"
            );
            std::fs::write(&file, settings)?;
            sentinels.push(OwnRedis::start_by(own, &[&*file.to_string_lossy(), "--sentinel"])?);
        }
        for sentinel in &sentinels {
            until("the sentinels know of each other", || {
                Ok(sentinel.ask("INFO sentinel")?.contains("slaves=1,sentinels=3"))
            })?;
        }
        Ok(Self { primary, _replica: replica, sentinels, _directory: directory })
    }

    /// The URL that names the sentinels, and what they call the primary.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0?sentinel_master=mymaster", hosts(&self.sentinels))
    }

    /// Kills the server that was the primary at first.
    pub fn kill_the_primary(&mut self) {
        self.primary.kill();
    }
}

/// Three nodes of a cluster, among which the slots are divided.
#[derive(Debug)]
pub struct OwnCluster {
    nodes: Vec<OwnRedis>,
    _directory: Directory,
}

impl OwnCluster {
    /// Starts the nodes, and waits until each knows where every slot is.
    ///
    /// # Errors
    ///
    /// If `redis-server` is not installed, or one does not answer.
    pub fn start() -> Result<Self> {
        let directory = Directory::new()?;
        let mut nodes = Vec::new();
        let mut first = None;
        for slots in ["0 5460", "5461 10922", "10923 16383"] {
            let (port, bus) = (free_port()?, free_port()?.to_string());
            let folder = directory.0.join(port.to_string());
            std::fs::create_dir(&folder)?;
            let folder = folder.to_string_lossy();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--dir", &folder];
            let node = OwnRedis::start_with(port, &options)?;
            node.ask(&format!("CLUSTER ADDSLOTSRANGE {slots}"))?;
            match &first {
                None => first = Some(format!("{port} {bus}")),
                Some(first) => drop(node.ask(&format!("CLUSTER MEET 127.0.0.1 {first}"))?),
            }
            nodes.push(node);
        }
        for node in &nodes {
            until("the nodes of the cluster know of each other", || {
                let info = node.ask("CLUSTER INFO")?;
                let all = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"];
                Ok(all.iter().all(|it| info.contains(it)))
            })?;
        }
        Ok(Self { nodes, _directory: directory })
    }

    /// The URL that names all nodes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0", hosts(&self.nodes))
    }
}

/// A directory for the servers' files, removed in the end.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self> {
        let name = format!("tollgate-example-redis-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn hosts(servers: &[OwnRedis]) -> String {
    let hosts: Vec<String> =
        servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    hosts.join(",")
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until `holds`; `what` is said if it does not come to that.
fn until(what: &str, holds: impl Fn() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while !holds()? {
        if since.elapsed() > PATIENCE {
            return Err(format!("waited {PATIENCE:?} in vain until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
