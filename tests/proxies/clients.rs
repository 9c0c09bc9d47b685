//! Two clients are two, whatever they claim.

use std::net::IpAddr;

use support::log::Log;
use support::proxies::{ProxyKind, ProxySetup};
use tollgate::HttpOptions;
use tollgate::http::ForwardedHeader;
use tracing::Level;

use crate::service::{Service, ask};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The header lines by which a client may claim to be another.
fn claims(other: &str) -> Vec<Vec<String>> {
    let node = if other.contains(':') { format!("\"[{other}]\"") } else { other.to_owned() };
    let by_for = |value: String| format!("X-Forwarded-For: {value}");
    let forwarded = |value: String| format!("Forwarded: {value}");
    let values = [
        (other.to_owned(), format!("for={node}")),
        (format!("{other}, {other}"), format!("for={node}, for={node}")),
        (format!("{other},"), format!("for={node},")),
        (format!(",, {other}"), format!(",, for={node};proto=http")),
        (format!("\"{other}\""), format!("for=\"{}\"", node.trim_matches('"'))),
        (format!("\"{other}"), format!("for=\"{}", node.trim_matches('"'))),
        (format!("{other}\\"), format!("for={node}\\")),
        (format!("{other}:4711"), format!("for=\"{}:4711\"", node.trim_matches('"'))),
        ("unknown".to_owned(), "for=unknown".to_owned()),
        (String::new(), String::new()),
    ];
    let mut all = Vec::new();
    for (address, element) in values {
        all.push(vec![by_for(address.clone()), forwarded(element.clone())]);
        all.push(vec![
            by_for(address.clone()),
            by_for(address),
            forwarded(element.clone()),
            forwarded(element),
        ]);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_are_two_and_what_they_claim_changes_nothing() {
    for kind in ProxyKind::under_test() {
        for forwarded in [false, true] {
            if forwarded && !kind.writes_forwarded() {
                continue;
            }
            let header =
                if forwarded { ForwardedHeader::Forwarded } else { ForwardedHeader::XForwardedFor };
            are_two(ProxySetup::new(kind, &[]).forwarded(forwarded), header).await;
        }
    }
}

async fn are_two(mut setup: ProxySetup, header: ForwardedHeader) {
    let case = format!("{} by {header:?}", setup.kind.name());
    let service = Service::start(1, HttpOptions::new().forwarded_header(header)).await;
    setup.servers = service.ports();
    let proxy = setup.start();
    let status =
        async |from: IpAddr, lines: &[String]| ask(from, proxy.address(from), lines).await.status;
    let clients = ["127.0.0.2", "127.0.0.3", "::1"].map(address);
    for client in clients {
        for expected in [200, 200, 200, 429] {
            assert_eq!(status(client, &[]).await, expected, "{case}, {client}");
        }
    }
    // Whoever is refused stays refused.
    let mut passed = Vec::new();
    for client in clients {
        for other in ["127.0.0.9", "203.0.113.9", "2001:db8::9"] {
            for lines in claims(other) {
                if status(client, &lines).await != 429 {
                    passed.push(format!("{client}: {lines:?}"));
                }
            }
        }
    }
    assert!(passed.is_empty(), "{case}: {passed:#?}");
    // And nobody spends what is another's.
    for lines in claims("127.0.0.9") {
        status(address("127.0.0.4"), &lines).await;
    }
    for expected in [200, 200, 200, 429] {
        assert_eq!(status(address("127.0.0.9"), &[]).await, expected, "{case}, 127.0.0.9");
    }
    service.stop().await;
}

/// The proxy names the client by another header than the one that is read. All its clients are then
/// one, and the log tells why, once.
#[tokio::test]
async fn a_proxy_that_says_nothing_is_told_of_once() {
    for kind in ProxyKind::under_test() {
        let (log, _listening) = Log::of_this_thread(Level::WARN);
        let http = HttpOptions::new().forwarded_header(ForwardedHeader::Forwarded);
        let service = Service::start(1, http).await;
        let mut setup = ProxySetup::new(kind, &[]);
        setup.servers = service.ports();
        let proxy = setup.start();
        let mut statuses = Vec::new();
        for client in ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"].map(address) {
            statuses.push(ask(client, proxy.address(client), &[]).await.status);
        }
        let name = kind.name();
        assert_eq!(statuses, [200, 200, 200, 429], "{name}: all are one client");
        let text = log.text();
        let told: Vec<&str> = text.lines().filter(|line| line.contains("127.0.0.1")).collect();
        assert_eq!(told.len(), 1, "{name}: {text}");
        let (warns, says_what) = (told[0].contains("WARN"), told[0].contains("forwarded"));
        assert!(warns && says_what, "{name}: {text}");
        service.stop().await;
    }
}
