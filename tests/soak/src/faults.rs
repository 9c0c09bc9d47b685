//! Stores, and what becomes of them.

use std::thread::sleep;
use std::time::Duration;

use redis::Value;
use support::redis::{Fault, Proxy, RedisServer, Sentinels, ask, eventually};

use crate::chance::Chance;
use crate::events::{Cut, now};

const SECOND: u64 = 1_000_000;
const ALL: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Refuse,
    Hang,
    HalfOpen,
    Reset,
    DropRequest,
    DropReply,
    CutReply,
    Delay,
    Trickle,
    Freeze,
    /// One process is cut off, for longer than a permit is held.
    CutOff,
    /// The server is killed, and comes back with its data.
    Kill,
    /// The same, without its data.
    KillEmpty,
    Flush,
    Scripts,
    Memory,
    ReadOnly,
    Connections,
    /// A replica takes over when it has everything.
    FailOver,
    /// A replica takes over from a primary that was killed in the midst of its work.
    FailOverAtOnce,
    /// One of the processes is killed.
    Process,
}

/// What a fault may have changed.
pub(crate) struct Done {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) cut: Option<Cut>,
}

pub(crate) enum Store {
    /// A proxy stands in front of the server for each process.
    Single {
        server: Box<RedisServer>,
        proxies: Vec<Proxy>,
    },
    Sentinel(Sentinels),
}

impl Store {
    pub(crate) fn single(workers: usize) -> Self {
        // What is handed to the system before the reply outlives the process, if not the machine; and no
        // busy disk is taken for a fault.
        let options = ["--appendonly", "yes", "--appendfsync", "no"];
        let server = RedisServer::start_with(&options);
        let proxies = (0..workers).map(|_| Proxy::start(server.port)).collect();
        Self::Single { server: Box::new(server), proxies }
    }

    /// Sentinels that do not take a busy server for one that is down.
    pub(crate) fn sentinel() -> Self {
        let sentinels = Sentinels::start();
        sentinels.set("down-after-milliseconds 2000");
        Self::Sentinel(sentinels)
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        use Kind::*;
        match self {
            Self::Single { .. } => vec![
                Refuse,
                Hang,
                HalfOpen,
                Reset,
                DropRequest,
                DropReply,
                CutReply,
                Delay,
                Trickle,
                Freeze,
                CutOff,
                Kill,
                KillEmpty,
                Flush,
                Scripts,
                Memory,
                ReadOnly,
                Connections,
                Process,
            ],
            Self::Sentinel(_) => {
                vec![FailOver, Scripts, FailOverAtOnce, Flush, Memory, Connections, Process]
            }
        }
    }

    pub(crate) fn url(&self, worker: usize) -> String {
        match self {
            Self::Single { proxies, .. } => proxies[worker].url(),
            Self::Sentinel(sentinels) => sentinels.url(),
        }
    }

    pub(crate) fn primary(&self) -> &RedisServer {
        match self {
            Self::Single { server, .. } => server,
            Self::Sentinel(sentinels) => {
                let port = sentinels.primary();
                sentinels.servers.iter().find(|server| server.port == port).unwrap()
            }
        }
    }

    fn tell(&self, commands: &[&str], span: Duration, undo: &[&str]) {
        let mut connection = self.primary().connection();
        for command in commands {
            let _: Value = ask(&mut connection, command);
        }
        sleep(span);
        for command in undo {
            let _: Value = ask(&mut connection, command);
        }
    }

    /// Brings a fault, and ends it.
    pub(crate) fn suffer(&mut self, kind: Kind, chance: &mut Chance) -> Done {
        let span = Duration::from_millis(chance.within(100, 1_600));
        let delay = Duration::from_millis(chance.within(10, 250));
        let from = now();
        let mut forgets = None;
        match kind {
            Kind::Refuse => self.network(Fault::Refuse, span, chance),
            Kind::Hang => self.network(Fault::Hang, span, chance),
            Kind::HalfOpen => self.network(Fault::HalfOpen, span, chance),
            Kind::Reset => self.network(Fault::Reset, span, chance),
            Kind::DropRequest => self.network(Fault::DropRequest, span, chance),
            Kind::DropReply => self.network(Fault::DropReply, span, chance),
            Kind::CutReply => self.network(Fault::CutReply, span, chance),
            Kind::Delay => self.network(Fault::Delay(delay), span, chance),
            Kind::Trickle => self.network(Fault::Trickle(delay / 20), span, chance),
            Kind::CutOff => {
                if let Self::Single { proxies, .. } = self {
                    let proxy = &proxies[chance.below(proxies.len() as u64) as usize];
                    proxy.set(Fault::Hang);
                    sleep(Duration::from_secs(8));
                    proxy.set(Fault::None);
                }
            }
            Kind::Freeze => {
                self.primary().freeze(true);
                sleep(span);
                self.primary().freeze(false);
            }
            Kind::Kill | Kind::KillEmpty => {
                if let Self::Single { server, .. } = self {
                    server.kill();
                    if kind == Kind::KillEmpty {
                        std::fs::remove_dir_all(server.directory().join("appendonlydir")).unwrap();
                        forgets = Some(ALL);
                    }
                    sleep(span);
                    eventually("the server runs again", || server.restart());
                }
            }
            Kind::Flush => {
                self.tell(&["FLUSHALL"], Duration::ZERO, &[]);
                forgets = Some(ALL);
            }
            Kind::Scripts => self.tell(&["SCRIPT FLUSH"], Duration::ZERO, &[]),
            Kind::Memory => {
                self.tell(&["CONFIG SET maxmemory 1"], span, &["CONFIG SET maxmemory 0"]);
            }
            Kind::ReadOnly => self.tell(&["REPLICAOF 127.0.0.1 1"], span, &["REPLICAOF NO ONE"]),
            Kind::Connections => {
                self.tell(&["CLIENT KILL TYPE normal SKIPME yes"], Duration::ZERO, &[]);
            }
            Kind::FailOver => self.fail_over(true),
            Kind::FailOverAtOnce => {
                self.fail_over(false);
                // Replicas of the same machine are not further behind.
                forgets = Some(SECOND);
            }
            Kind::Process => {}
        }
        let to = now();
        let cut = forgets.map(|forgets| Cut { of: None, from, to, forgets });
        Done { from, to, cut }
    }

    fn network(&self, fault: Fault, span: Duration, chance: &mut Chance) {
        let Self::Single { proxies, .. } = self else { return };
        let hit = match chance.below(3) {
            0 => &proxies[..1 + chance.below(proxies.len() as u64 - 1) as usize],
            _ => &proxies[..],
        };
        hit.iter().for_each(|proxy| proxy.set(fault));
        sleep(span);
        hit.iter().for_each(|proxy| proxy.set(Fault::None));
    }

    fn fail_over(&mut self, in_step: bool) {
        let Self::Sentinel(sentinels) = self else { return };
        let old = sentinels.primary();
        if in_step {
            let primary = sentinels.server(old);
            primary.ask::<()>("CLIENT PAUSE 60000 WRITE");
            let offset = offset(primary, "master_repl_offset");
            let others = sentinels.servers.iter().filter(|server| server.port != old);
            for replica in others {
                eventually("it is in step", || {
                    self::offset(replica, "slave_repl_offset") >= offset
                });
            }
        }
        sentinels.server(old).kill();
        eventually("another server takes over", || sentinels.primary() != old);
        let new = sentinels.primary();
        eventually("it is the primary", || {
            sentinels.server(new).ask::<String>("INFO replication").contains("role:master")
        });
    }

    /// Starts what a failover has left dead, and waits until all is as before.
    pub(crate) fn mend(&mut self) {
        let Self::Sentinel(sentinels) = self else { return };
        eventually("both replicas follow", || {
            // One that came back as it was would believe itself to be a primary until somebody tells it.
            let primary = sentinels.primary();
            let port = primary.to_string();
            let options = ["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"];
            for server in &mut sentinels.servers {
                let client = redis::Client::open(server.url()).unwrap();
                if client.get_connection().is_err() {
                    *server = RedisServer::start_with(&options);
                }
            }
            let info: String = sentinels.server(primary).ask("INFO replication");
            info.matches("state=online").count() == 2
        });
        // Sentinels wait for twice their time until they name another primary again.
        sleep(Duration::from_secs(9));
    }

    /// The port of the server that is the primary.
    pub(crate) fn primary_port(&self) -> u16 {
        match self {
            Self::Single { server, .. } => server.port,
            Self::Sentinel(sentinels) => sentinels.primary(),
        }
    }
}

fn offset(server: &RedisServer, name: &str) -> u64 {
    let info: String = server.ask("INFO replication");
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map_or(0, |value| value.trim().parse().unwrap())
}
