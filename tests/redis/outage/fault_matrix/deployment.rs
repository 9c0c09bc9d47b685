//! The servers of a deployment, and the proxies that stand for the network before them.

use redis::{Connection, Value};
use support::redis::{Fault, Proxy, RedisCluster, RedisServer, Sentinels, ask, eventually};

pub(super) struct Deployment {
    pub(super) kind: Kind,
    pub(super) proxies: Vec<Proxy>,
    /// The servers that were asked at first, by their place among all.
    pub(super) primaries: Vec<usize>,
    /// Connections to them, made while all was well.
    admin: Vec<Connection>,
}

pub(super) enum Kind {
    /// A server, and one that can take its place.
    Single(Vec<RedisServer>),
    Sentinel(Sentinels),
    Cluster(RedisCluster),
}

impl Deployment {
    /// One server behind a proxy.
    pub(super) fn single() -> Self {
        Self::single_with(&[])
    }

    /// One server that keeps what it has charged when it is killed.
    pub(super) fn single_that_ends() -> Self {
        Self::single_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    fn single_with(options: &[&str]) -> Self {
        let options = [options, &["--repl-diskless-sync-delay", "0"]].concat();
        let server = RedisServer::start_with(&options);
        let proxy = Proxy::start(server.port);
        Self::new(Kind::Single(vec![server, RedisServer::start()]), vec![proxy])
    }

    /// Sentinels that take a proxy for the primary, and never name another.
    pub(super) fn sentinel() -> Self {
        let proxy = Proxy::start_alone();
        let sentinels = Sentinels::start_behind(Some(&proxy));
        sentinels.set("down-after-milliseconds 600000");
        Self::new(Kind::Sentinel(sentinels), vec![proxy])
    }

    /// Sentinels that name another primary when theirs is gone.
    pub(super) fn sentinel_that_fails_over() -> Self {
        Self::new(Kind::Sentinel(Sentinels::start()), Vec::new())
    }

    /// Nodes behind proxies, none of which takes over for another.
    pub(super) fn cluster() -> Self {
        let proxies: Vec<Proxy> = (0..6).map(|_| Proxy::start_alone()).collect();
        let cluster = RedisCluster::start_behind(&proxies);
        for node in &cluster.nodes {
            node.ask::<()>("CONFIG SET cluster-node-timeout 600000");
        }
        Self::new(Kind::Cluster(cluster), proxies)
    }

    /// Nodes of which replicas take over for primaries.
    pub(super) fn cluster_that_fails_over() -> Self {
        Self::new(Kind::Cluster(RedisCluster::start()), Vec::new())
    }

    fn new(kind: Kind, proxies: Vec<Proxy>) -> Self {
        let primaries = match &kind {
            Kind::Single(_) | Kind::Sentinel(_) => vec![0],
            Kind::Cluster(cluster) => cluster.primaries(),
        };
        let mut deployment = Self { kind, proxies, primaries, admin: Vec::new() };
        let servers = deployment.servers();
        let admin = deployment.primaries.iter().map(|number| servers[*number].connection());
        deployment.admin = admin.collect();
        deployment
    }

    pub(super) fn url(&self) -> String {
        match &self.kind {
            Kind::Single(_) => self.proxies[0].url(),
            Kind::Sentinel(sentinels) => sentinels.url(),
            Kind::Cluster(cluster) => cluster.url(),
        }
    }

    pub(super) fn servers(&self) -> &[RedisServer] {
        match &self.kind {
            Kind::Single(servers) => servers,
            Kind::Sentinel(sentinels) => &sentinels.servers,
            Kind::Cluster(cluster) => &cluster.nodes,
        }
    }

    pub(super) fn server_mut(&mut self, number: usize) -> &mut RedisServer {
        match &mut self.kind {
            Kind::Single(servers) => &mut servers[number],
            Kind::Sentinel(sentinels) => &mut sentinels.servers[number],
            Kind::Cluster(cluster) => &mut cluster.nodes[number],
        }
    }

    /// The server that is the primary now, or the first such node; its place among all.
    pub(super) fn primary(&self) -> usize {
        match &self.kind {
            Kind::Single(_) => 0,
            Kind::Sentinel(sentinels) => {
                let port = sentinels.primary();
                sentinels.servers.iter().position(|server| server.port == port).unwrap()
            }
            Kind::Cluster(cluster) => cluster.primaries()[0],
        }
    }

    pub(super) fn network(&self, fault: Fault) {
        self.proxies.iter().for_each(|proxy| proxy.set(fault));
    }

    /// Stops all primaries from running, or lets them run on.
    pub(super) fn freeze(&self, frozen: bool) {
        self.primaries.iter().for_each(|number| self.servers()[*number].freeze(frozen));
    }

    /// Gives a command to all primaries, over connections that exist.
    pub(super) fn tell(&mut self, command: &str) {
        for connection in &mut self.admin {
            let _: Value = ask(connection, command);
        }
    }

    /// Lets a primary finish what it has been sent, and its replicas learn of it. From then on it
    /// changes nothing. So what asynchronous replication may lose is none of what is counted.
    pub(super) fn hold(&self, primary: usize) {
        let servers = self.servers();
        servers[primary].ask::<()>("CLIENT PAUSE 60000 WRITE");
        // After a failover the others follow their new primary a little later.
        eventually("a replica follows", || !self.replicas_of(primary).is_empty());
        for replica in self.replicas_of(primary) {
            in_step(&servers[primary], &servers[replica]);
        }
    }

    pub(super) fn replicas_of(&self, primary: usize) -> Vec<usize> {
        let servers = self.servers();
        let line = format!("master_port:{}\r", servers[primary].port);
        let is_replica = |number: &usize| {
            let server = &servers[*number];
            let client = redis::Client::open(server.url()).unwrap();
            client.get_connection().is_ok_and(|mut connection| {
                ask::<String>(&mut connection, "INFO replication").contains(&line)
            })
        };
        (0..servers.len()).filter(is_replica).collect()
    }
}

/// Waits until a replica has everything that its primary has, which must not be written to meanwhile.
fn in_step(primary: &RedisServer, replica: &RedisServer) {
    let offset = |info: &str, name: &str| -> u64 {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map_or(0, |value| value.trim().parse().unwrap())
    };
    eventually("a replica has everything", || {
        let [of_primary, of_replica]: [String; 2] =
            [primary, replica].map(|server| server.ask("INFO replication"));
        of_replica.contains("master_link_status:up")
            && offset(&of_replica, "slave_repl_offset") >= offset(&of_primary, "master_repl_offset")
    });
}
