//! Two clients are two, whatever they claim.

use std::net::IpAddr;

use support::proxies::{ProxyKind, ProxySetup};
use tollgate::HttpOptions;
use tollgate::http::ForwardedHeader;

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
