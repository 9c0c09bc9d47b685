//! A cluster of three primaries with a replica each.

use std::process::Command;

use super::{Proxy, RedisServer, calls, eventually};
use crate::process::free_port;

pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(options: &[&str]) -> Self {
        Self::start_nodes(options, &[])
    }

    /// Six proxies, each of which the nodes take for one of them.
    pub fn start_behind(proxies: &[Proxy]) -> Self {
        Self::start_nodes(&[], proxies)
    }

    fn start_nodes(options: &[&str], proxies: &[Proxy]) -> Self {
        let nodes: Vec<RedisServer> = (0..6)
            .map(|number| {
                let proxy = proxies.get(number).map(|proxy| proxy.port.to_string());
                let bus = free_port().to_string();
                let mut all = vec![
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus,
                    "--cluster-node-timeout",
                    "1000",
                    "--cluster-config-file",
                    "nodes.conf",
                    "--repl-diskless-sync-delay",
                    "0",
                ];
                all.extend(options);
                if let Some(port) = &proxy {
                    all.extend(["--cluster-announce-port", port]);
                }
                let node = RedisServer::start_with(&all);
                if let Some(proxy) = proxies.get(number) {
                    proxy.leads_to(node.port);
                }
                node
            })
            .collect();
        let hosts: Vec<String> =
            nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(&hosts)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(created.status.success(), "{created:?}");
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            eventually("every node sees a whole cluster", || {
                let info: String = node.ask("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6")
            });
            eventually("every replica is in step", || {
                let info: String = node.ask("INFO replication");
                info.contains("role:master") && info.contains("connected_slaves:1")
                    || info.contains("master_link_status:up")
            });
        }
        cluster
    }

    /// Names every node, so it works whichever of them is gone.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis://{}/0", hosts.join(","))
    }

    /// The nodes that serve slots now.
    pub fn primaries(&self) -> Vec<usize> {
        let is_primary = |node: &RedisServer| {
            let client = redis::Client::open(node.url()).unwrap();
            client.get_connection().is_ok_and(|mut connection| {
                super::ask::<String>(&mut connection, "INFO replication").contains("role:master")
            })
        };
        (0..self.nodes.len()).filter(|node| is_primary(&self.nodes[*node])).collect()
    }

    /// How often a command was called on each node.
    pub fn calls(&self, command: &str) -> Vec<u64> {
        self.nodes.iter().map(|node| calls(&mut node.connection(), command)).collect()
    }
}
