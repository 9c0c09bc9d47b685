//! The faults: what begins each, and what ends it.

use std::time::Duration;

use super::deployment::{Deployment, Kind};
use support::redis::{Fault, Proxy, eventually, free_port};

/// A fault at a deployment.
pub(super) struct OneFault {
    pub(super) name: &'static str,
    pub(super) begins: fn(&mut Deployment),
    pub(super) ends: fn(&mut Deployment),
    /// `true` if checks go on while it lasts, or if it is over at once.
    pub(super) is_mild: bool,
    /// The prefix of the keys.
    pub(super) prefix: &'static str,
}

pub(super) const fn fault(
    name: &'static str,
    begins: fn(&mut Deployment),
    ends: fn(&mut Deployment),
) -> OneFault {
    OneFault { name, begins, ends, is_mild: false, prefix: "tollgate:" }
}

const fn mild(
    name: &'static str,
    begins: fn(&mut Deployment),
    ends: fn(&mut Deployment),
) -> OneFault {
    OneFault { is_mild: true, ..fault(name, begins, ends) }
}

fn well(deployment: &mut Deployment) {
    deployment.network(Fault::None);
}

/// Faults of the network, and of servers that are there but do not serve.
pub(super) const EVERYWHERE: [OneFault; 9] = [
    fault("hang, nothing comes through", |all| all.network(Fault::Hang), well),
    fault("hang, server stopped", |all| all.freeze(true), |all| all.freeze(false)),
    mild("half-open", |all| all.network(Fault::HalfOpen), well),
    fault("reset", |all| all.network(Fault::Reset), well),
    fault("slow, 50 ms a byte", |all| all.network(SLOW), well),
    fault("wrong password", wrong_password, |all| all.tell("ACL SETUSER default nopass")),
    fault(
        "OOM",
        |all| all.tell("CONFIG SET maxmemory 1"),
        |all| all.tell("CONFIG SET maxmemory 0"),
    ),
    fault(
        "NOREPLICAS",
        |all| all.tell("CONFIG SET min-replicas-to-write 9"),
        |all| all.tell("CONFIG SET min-replicas-to-write 0"),
    ),
    fault(
        "writes paused",
        |all| all.tell("CLIENT PAUSE 600000 WRITE"),
        |all| all.tell("CLIENT UNPAUSE"),
    ),
];

const SLOW: Fault = Fault::Trickle(Duration::from_millis(50));

/// A primary that becomes a replica of nobody. A node of a cluster refuses that.
pub(super) const READONLY: OneFault = fault(
    "READONLY",
    |all| all.tell(&format!("REPLICAOF 127.0.0.1 {}", free_port())),
    |all| all.tell("REPLICAOF NO ONE"),
);

/// What ends with another server in the place of the first, or at another address.
pub(super) const SINGLE_ENDS: [OneFault; 2] = [
    fault("killed", |all| all.server_mut(0).kill(), |all| assert!(all.server_mut(0).restart())),
    fault("moved name", single_is_demoted, name_moves),
];
pub(super) const CLUSTER_MOVES: OneFault = fault("moved names", addresses_end, addresses_move);
pub(super) const SENTINEL_FAILS_OVER: [OneFault; 2] = [
    fault("moved name, another is named", another_is_named, sentinels_agree),
    fault("killed", primary_is_killed, sentinels_agree),
];
pub(super) const CLUSTER_FAILS_OVER: [OneFault; 2] = [
    mild("demoted", replica_takes_over, |_| {}),
    fault("killed", primary_is_killed, cluster_is_whole),
];

fn wrong_password(all: &mut Deployment) {
    all.tell("ACL SETUSER default resetpass >another");
    all.tell("CLIENT KILL TYPE normal SKIPME yes");
}

/// The other server takes over with all counts. The name still leads to the first, which is well but
/// a replica now, and keeps its connections.
fn single_is_demoted(all: &mut Deployment) {
    let servers = all.servers();
    let [first, other] = [&servers[0], &servers[1]];
    other.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", first.port));
    eventually("the other is a replica", || {
        other.ask::<String>("INFO replication").contains("master_link_status:up")
    });
    all.hold(0);
    other.ask::<()>("REPLICAOF NO ONE");
    // It is in step with nobody, as it would be until it has begun to follow the other.
    first.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", free_port()));
    first.ask::<()>("CLIENT UNPAUSE");
}

/// A proxy stands for the name: what is open stays with the first server, new connections lead to the
/// other. (Names of real hosts are looked up for each new connection, too.)
fn name_moves(all: &mut Deployment) {
    all.proxies[0].leads_to(all.servers()[1].port);
}

/// The addresses of all nodes are gone.
fn addresses_end(all: &mut Deployment) {
    all.network(Fault::Refuse);
}

/// The nodes come back at other addresses. Those of the URL still lead to them.
fn addresses_move(all: &mut Deployment) {
    let Kind::Cluster(cluster) = &all.kind else { unreachable!() };
    let proxies: Vec<Proxy> = cluster.nodes.iter().map(|node| Proxy::start(node.port)).collect();
    for (node, proxy) in cluster.nodes.iter().zip(&proxies) {
        node.ask::<()>(&format!("CONFIG SET cluster-announce-port {}", proxy.port));
    }
    for node in &cluster.nodes {
        eventually("every node knows the new addresses", || {
            let nodes: String = node.ask("CLUSTER NODES");
            proxies.iter().all(|proxy| nodes.contains(&format!(":{}@", proxy.port)))
        });
    }
    all.proxies = proxies;
}

fn primary_is_killed(all: &mut Deployment) {
    let primary = all.primary();
    all.hold(primary);
    all.primaries = vec![primary];
    all.server_mut(primary).kill();
}

fn another_is_named(all: &mut Deployment) {
    let primary = all.primary();
    all.hold(primary);
    all.primaries = vec![primary];
    let Kind::Sentinel(sentinels) = &all.kind else { unreachable!() };
    sentinels.fail_over();
}

fn sentinels_agree(all: &mut Deployment) {
    let Kind::Sentinel(sentinels) = &all.kind else { unreachable!() };
    let old = sentinels.servers[all.primaries[0]].port;
    eventually("the sentinels name another", || sentinels.primary() != old);
}

fn replica_takes_over(all: &mut Deployment) {
    let primary = all.primary();
    let replica = &all.servers()[all.replicas_of(primary)[0]];
    replica.ask::<()>("CLUSTER FAILOVER");
    eventually("the replica takes over", || {
        replica.ask::<String>("INFO replication").contains("role:master")
    });
}

fn cluster_is_whole(all: &mut Deployment) {
    let Kind::Cluster(cluster) = &all.kind else { unreachable!() };
    eventually("a replica takes over", || cluster.primaries().len() == 3);
    eventually("its node knows", || {
        let primaries = cluster.primaries();
        primaries.into_iter().all(|node| {
            cluster.nodes[node].ask::<String>("CLUSTER INFO").contains("cluster_state:ok")
        })
    });
}
