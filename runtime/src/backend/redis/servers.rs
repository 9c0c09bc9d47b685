//! The servers of a backend, and their statistics.

use std::sync::Arc;
use std::time::Duration;

use super::cluster::{Cluster, slot_of};
use super::info::ServerInfo;
use super::node::Node;
use crate::BackendError;
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

    /// Returns the node that serves a key, and the key's slot, which is 0 outside of a cluster.
    pub(super) fn serving(&self, key: &[u8]) -> Result<(Arc<Node>, u16), BackendError> {
        match self {
            Self::Single(node) => Ok((Arc::clone(node), 0)),
            Self::Cluster(cluster) => {
                let slot = slot_of(key);
                let node = cluster.route(slot).or_else(|| cluster.masters().into_iter().next());
                let unknown = || BackendError::not_executed("no node of the cluster is known");
                Ok((node.ok_or_else(unknown)?, slot))
            }
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
