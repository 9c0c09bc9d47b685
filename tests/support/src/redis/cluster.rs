//! A cluster of three primaries with a replica each.

use std::process::Command;

use super::{Certificates, Proxy, RedisServer, calls, eventually, has_cluster_port};
use crate::process::free_port;

pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(options: &[&str]) -> Self {
        Self::start_nodes(&|all| RedisServer::start_with(&[all, options].concat()), &[], &[])
    }

    /// With TLS between the nodes and for clients, who must have a certificate.
    pub fn start_tls(certificates: &Certificates) -> Self {
        let node = |all: &[&str]| {
            let more = [all, &["--tls-cluster", "yes", "--tls-replication", "yes"]].concat();
            RedisServer::start_tls_with(certificates, true, &more)
        };
        let directory = crate::process::Directory::new();
        let files = certificates.write_for_client(&directory.path());
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let client = ["--tls", "--cacert", &path(&files.ca), "--cert", &path(&files.certificate)]
            .map(str::to_owned);
        let client = [client.to_vec(), vec!["--key".to_owned(), path(&files.key)]].concat();
        Self::start_nodes(&node, &[], &client)
    }

    /// Six proxies, each of which the nodes take for one of them.
    pub fn start_behind(proxies: &[Proxy]) -> Self {
        Self::start_nodes(&RedisServer::start_with, proxies, &[])
    }

    /// Nodes that `start` starts, given the options of a node. `client` are the options with which
    /// `redis-cli` connects to them.
    fn start_nodes(
        start: &dyn Fn(&[&str]) -> RedisServer,
        proxies: &[Proxy],
        client: &[String],
    ) -> Self {
        let nodes: Vec<RedisServer> = (0..6)
            .map(|number| {
                let proxy = proxies.get(number).map(|proxy| proxy.port.to_string());
                let bus = free_port().to_string();
                let mut all = vec![
                    "--cluster-enabled",
                    "yes",
                    "--cluster-node-timeout",
                    "1000",
                    "--cluster-config-file",
                    "nodes.conf",
                    "--repl-diskless-sync-delay",
                    "0",
                ];
                if has_cluster_port() {
                    all.extend(["--cluster-port", &bus]);
                }
                if let Some(port) = &proxy {
                    all.extend(["--cluster-announce-port", port]);
                }
                let node = start(&all);
                if let Some(proxy) = proxies.get(number) {
                    proxy.leads_to(node.port);
                }
                node
            })
            .collect();
        let hosts: Vec<String> =
            nodes.iter().map(|node| format!("127.0.0.1:{}", port(node, client))).collect();
        let created = Command::new("redis-cli")
            .args(client)
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

/// The port at which a client with these options connects.
fn port(node: &RedisServer, client: &[String]) -> u16 {
    if client.is_empty() { node.port } else { node.tls_port() }
}
