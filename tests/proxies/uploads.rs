//! A refused upload is answered by the refusal, and harms nobody else.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use support::proxies::{ProxyKind, ProxySetup};
use support::wire::Upload;
use tollgate::HttpOptions;

use crate::service::{Service, ask, use_up};

const UPLOADER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// How many of each.
const TIMES: usize = 20;

/// Far longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(20);

const MIB: usize = 1 << 20;

/// Clients that ask beside the uploads, each but once, and which servers answered them.
struct Others {
    to: SocketAddr,
    asked: u32,
    servers: BTreeSet<String>,
}

impl Others {
    async fn ask(&mut self, case: &str) {
        self.asked += 1;
        let from = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + self.asked;
        let answer = ask(Ipv4Addr::from(from).into(), self.to, &[]).await;
        assert_eq!(answer.status, 200, "{case}: another client, {answer:?}");
        self.servers.insert(answer.body);
    }
}

/// Sends uploads that are refused, and says how each was lost that was.
async fn lost(to: SocketAddr, (bytes, expects): (usize, bool), others: &mut Others) -> Vec<String> {
    let mut lost = Vec::new();
    for _ in 0..TIMES {
        let upload = Upload { from: UPLOADER, to, path: "/upload", bytes, expects };
        match tokio::time::timeout(PATIENCE, upload.send()).await {
            Ok(Ok(answer)) if answer.status == 429 => {}
            Ok(Ok(answer)) => lost.push(answer.status.to_string()),
            Ok(Err(error)) => lost.push(error.to_string()),
            Err(late) => lost.push(late.to_string()),
        }
        // Two, so that uploads and others meet each of two servers in turn.
        for _ in 0..2 {
            others.ask(&format!("beside {bytes} bytes")).await;
        }
    }
    let expect = if expects { ", with Expect" } else { "" };
    println!("  {bytes} bytes{expect}: {} of {TIMES} lost {lost:?}", lost.len());
    lost
}

async fn all_arrive(setup: ProxySetup, http: HttpOptions, sizes: &[usize]) {
    let kind = setup.kind;
    let servers = if kind.balances() { 2 } else { 1 };
    let service = Service::start(servers, http).await;
    let proxy = ProxySetup { servers: service.ports(), ..setup }.start();
    let to = proxy.address(UPLOADER);
    use_up(UPLOADER, to).await;
    println!("{}", kind.name());
    let mut others = Others { to, asked: 0, servers: BTreeSet::new() };
    let mut all = Vec::new();
    for bytes in sizes {
        for expects in [false, true] {
            others.servers.clear();
            all.extend(lost(to, (*bytes, expects), &mut others).await);
            assert_eq!(others.servers.len(), servers, "{}: all servers answer", kind.name());
        }
    }
    assert!(all.is_empty(), "{}: lost {all:?}", kind.name());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_uploads_are_answered_and_no_server_leaves_the_group() {
    for kind in ProxyKind::under_test() {
        let sizes = [65_000, 130_000, 260_000, 500_000, 1_000_000];
        all_arrive(ProxySetup::new(kind, &[]), HttpOptions::new(), &sizes).await;
    }
}

/// With the bound, and the proxy's own, at 32 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_uploads_are_answered_within_a_larger_bound() {
    for kind in ProxyKind::under_test() {
        let setup = ProxySetup::new(kind, &[]).max_body(32 * MIB);
        let http = HttpOptions::new().refused_body(32 << 20, PATIENCE);
        all_arrive(setup, http, &[20_000_000]).await;
    }
}

/// What the client sees then is the proxy's affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_read_than_the_default_bound() {
    for kind in ProxyKind::under_test() {
        let mut service = Service::start(1, HttpOptions::new()).await;
        let proxy = ProxySetup::new(kind, &service.ports()).max_body(32 * MIB).start();
        let to = proxy.address(UPLOADER);
        use_up(UPLOADER, to).await;
        for _ in 0..2 {
            // The admitted one, and the refused one, which a proxy may give up.
            assert!(service.counts[0].recv().await.unwrap() <= 1);
        }
        let upload =
            Upload { from: UPLOADER, to, path: "/upload", bytes: 20_000_000, expects: false };
        let seen = tokio::time::timeout(PATIENCE, upload.send()).await.unwrap();
        let seen = seen.map(|answer| answer.status);
        let read = service.counts[0].recv().await.unwrap();
        println!("{}: {read} bytes read of 20 MB; the client sees {seen:?}", kind.name());
        assert!(read <= 2 << 20, "{}: {read} bytes", kind.name());
        service.stop().await;
    }
}

/// A proxy that speaks HTTP/2 with the servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_may_speak_http2_with_the_servers() {
    if ProxyKind::under_test().contains(&ProxyKind::Haproxy) {
        let setup = ProxySetup::new(ProxyKind::Haproxy, &[]).http2();
        all_arrive(setup, HttpOptions::new(), &[65_000, 1_000_000, 20_000_000]).await;
    }
}
