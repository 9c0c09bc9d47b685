//! A Redis server, and what it tells of itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::Value;

use super::Result;

/// A server of its own, ended with it.
pub(super) struct Server {
    process: Child,
    port: u16,
}

/// The memory that a server takes, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// By the operating system's count.
    pub(super) resident: f64,
    /// By that of the server's allocator.
    pub(super) used: f64,
}

/// The script calls in the slow log.
pub(super) struct SlowCalls {
    pub(super) count: usize,
    pub(super) longest_micros: u64,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--slowlog-log-slower-than", "-1", "--slowlog-max-len", "10000"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start redis-server: {error}; install it"))?;
        let server = Self { process, port };
        let since = Instant::now();
        while TcpStream::connect(server.address()).is_err() {
            if since.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not answer".into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    pub(super) fn connection(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }

    /// The seconds of CPU that it has used, by its own count.
    pub(super) fn cpu(&self) -> Result<f64> {
        let info = self.info("cpu")?;
        Ok(number(&info, "used_cpu_sys:")? + number(&info, "used_cpu_user:")?)
    }

    /// The script calls that it has carried out, by its own count.
    pub(super) fn script_calls(&self) -> Result<f64> {
        number(&self.info("commandstats")?, "cmdstat_evalsha:calls=")
    }

    /// The memory that it takes once it is at rest: it moves its table of keys a part at a time,
    /// notes its resident memory ten times a second, and its allocator gives back only by and by, or
    /// when told, what is not in use any more.
    pub(super) fn memory(&self) -> Result<Memory> {
        let mut last = None;
        loop {
            redis::cmd("MEMORY").arg("PURGE").exec(&mut self.connection()?)?;
            sleep(Duration::from_millis(250));
            let info = self.info("memory")?;
            let resident = number(&info, "used_memory_rss:")?;
            let used = number(&info, "used_memory:")?;
            // The connection by which it is asked takes some.
            let is_at_rest = |(last_resident, last_used): (f64, f64)| {
                last_resident == resident && (last_used - used).abs() < 4096.0
            };
            if last.is_some_and(is_at_rest) {
                return Ok(Memory { resident, used });
            }
            last = Some((resident, used));
        }
    }

    /// Removes all keys. The scripts stay.
    pub(super) fn empty(&self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL").exec(&mut self.connection()?)?)
    }

    /// Empties the slow log, which takes from now on what lasts longer than 100 µs.
    pub(super) fn watch_slow_calls(&self) -> Result<()> {
        let mut connection = self.connection()?;
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("slowlog-log-slower-than").arg(100).exec(&mut connection)?;
        Ok(redis::cmd("SLOWLOG").arg("RESET").exec(&mut connection)?)
    }

    pub(super) fn slow_calls(&self) -> Result<SlowCalls> {
        let mut get = redis::cmd("SLOWLOG");
        let entries: Vec<Vec<Value>> = get.arg("GET").arg(-1).query(&mut self.connection()?)?;
        let mut calls = SlowCalls { count: 0, longest_micros: 0 };
        for entry in entries {
            let [_, _, micros, command, ..] = entry.as_slice() else {
                return Err("an entry of the slow log has less than four fields".into());
            };
            let command: Vec<Vec<u8>> = redis::from_redis_value_ref(command)?;
            if command.first().is_some_and(|name| name.eq_ignore_ascii_case(b"EVALSHA")) {
                let micros = redis::from_redis_value_ref(micros)?;
                calls.count += 1;
                calls.longest_micros = calls.longest_micros.max(micros);
            }
        }
        Ok(calls)
    }

    fn info(&self, section: &str) -> Result<String> {
        Ok(redis::cmd("INFO").arg(section).query(&mut self.connection()?)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The number behind a field's name.
fn number(info: &str, field: &str) -> Result<f64> {
    let text = info.lines().find_map(|line| line.strip_prefix(field));
    let text = text.ok_or_else(|| format!("INFO says nothing of {field}"))?;
    Ok(text.split(',').next().unwrap_or_default().trim().parse()?)
}
