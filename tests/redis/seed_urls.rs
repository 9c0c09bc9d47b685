//! The three URLs of the guide of the library that Tollgate takes after connect as written.
//!
//! They name hosts and ports. A child in a mount namespace of its own has a hosts file that
//! knows those names, each on a loopback address where the port is free.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, runtime};
use support::redis::{RedisCluster, RedisServer, Sentinels};

const POLICY: Policy = Policy::new("guide", Quota::new(3, Duration::from_secs(60)));

const HOSTS: &str = "127.0.0.1 localhost
127.21.0.1 redis-server
127.21.0.11 sentinel1
127.21.0.12 sentinel2
127.21.0.13 sentinel3
127.21.0.21 node1
127.21.0.22 node2
127.21.0.23 node3
";

/// Lets a port of an address lead to another one, for as long as the process lives.
async fn forward(from: &str, to: u16) {
    let listener = tokio::net::TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut there = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
}

#[test]
fn connect_as_written() {
    let (server, sentinels, cluster) =
        (RedisServer::start(), Sentinels::start(), RedisCluster::start());
    let hosts = server.directory().join("hosts");
    std::fs::write(&hosts, HOSTS).unwrap();
    let ports = std::iter::once(server.port)
        .chain(sentinels.ports())
        .chain(cluster.primaries().into_iter().map(|node| cluster.nodes[node].port));
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    let program = std::env::current_exe().unwrap();
    let status = unshared(&hosts, &program)
        .args(["seed_urls::with_those_hosts", "--exact", "--ignored", "--nocapture"])
        .env("TOLLGATE_TEST_PORTS", ports.join(" "))
        .status()
        .unwrap();
    assert!(status.success());
}

/// A program that sees another hosts file.
fn unshared(hosts: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = r#"mount --bind "$1" /etc/hosts && shift && exec "$@""#;
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).arg(hosts).arg(program);
    command
}

#[test]
#[ignore = "the test above runs it, where those hosts are known"]
fn with_those_hosts() {
    let ports = std::env::var("TOLLGATE_TEST_PORTS").unwrap();
    let ports: Vec<u16> = ports.split(' ').map(|port| port.parse().unwrap()).collect();
    runtime().block_on(async {
        let names = HOSTS.lines().skip(1).map(|line| line.split(' ').next().unwrap());
        for (index, (address, to)) in names.zip(&ports).enumerate() {
            let port = if (1..=3).contains(&index) { 26379 } else { 6379 };
            forward(&format!("{address}:{port}"), *to).await;
        }
        let single =
            RedisBackend::builder("redis://redis-server:6379/0").key_prefix("myapp:ratelimit");
        let sentinel =
            RedisBackend::builder("redis://sentinel1:26379,sentinel2:26379,sentinel3:26379/0")
                .sentinel_master("mymaster");
        let cluster = RedisBackend::builder("redis://node1:6379,node2:6379,node3:6379/0");
        for backend in [single, sentinel, cluster] {
            let limiter = Limiter::new(backend.deadline(PATIENCE).build().unwrap());
            limiter.initialize().await.unwrap();
            for remaining in [2, 1, 0] {
                let told = limiter.check(&POLICY, "s").await.unwrap();
                assert!(told.is_allowed());
                assert_eq!(told.remaining(), remaining);
            }
            assert!(!limiter.check(&POLICY, "s").await.unwrap().is_allowed());
        }
    });
}
