//! The servers of a backend, and their statistics.

use std::sync::Arc;
use std::time::Duration;

use super::cluster::Cluster;
use super::info::ServerInfo;
use super::node::Node;
use crate::stats::{RedisStats, ServerStats};

/// Timeout for a server's reply to `INFO`.
const INFO_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) enum Servers {
    /// A single server, or the master that sentinels report.
    Single(Arc<Node>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    /// Returns all servers that are known at present.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        match self {
            Self::Single(node) => vec![Arc::clone(node)],
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    pub(super) fn stats(&self) -> RedisStats {
        let mut stats = RedisStats::default();
        for node in self.nodes() {
            node.add_to(&mut stats);
        }
        stats
    }
}

/// Asks all servers for their statistics.
pub(super) async fn ask_all(servers: &Servers) -> Vec<ServerStats> {
    let mut stats = Vec::new();
    for node in servers.nodes() {
        stats.extend(server_stats(&node).await);
    }
    stats
}

/// Asks a server for its statistics. Returns `None` if the server does not answer, or if the user
/// may not use `INFO`.
async fn server_stats(node: &Node) -> Option<ServerStats> {
    let info = match node.query(&redis::cmd("INFO"), INFO_TIMEOUT).await {
        Ok(reply) => ServerInfo::from_reply(&reply)?,
        Err(error) => {
            tracing::debug!(%error, "Redis does not answer INFO");
            return None;
        }
    };
    let number = |name| info.get(name)?.parse().ok();
    Some(ServerStats {
        address: node.connection.address()?,
        memory: number("used_memory")?,
        max_memory: number("maxmemory").unwrap_or(0),
        clients: number("connected_clients")?,
        evicted_keys: number("evicted_keys").unwrap_or(0),
    })
}
