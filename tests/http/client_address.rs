//! Whose request it is: the peer's, or what trusted proxies say, and nobody else.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use proptest::prelude::*;
use support::scaled;
use support::subjects::Subjects;
use tollgate::http::ForwardedHeader;
use tollgate::{HttpOptions, Key};

const TRUSTED: [&str; 6] = [
    "10.0.0.0/8",
    "192.0.2.7",
    "fd00::/8",
    "::ffff:172.16.0.0/108",
    "64:ff9b::192.168.0.0/112",
    "2001:db8:f000::100.64.0.0/106",
];

/// Prefixes of the operator's own, of every length that RFC 6052 allows.
const NAT64: [&str; 6] = [
    "2001:db8:f000::/96",
    "2001:db9::/32",
    "2001:dba:ff00::/40",
    "2001:dba:1::/48",
    "2001:dba:2:ff00::/56",
    "2001:dba:3:ffff::/64",
];

fn options(header: ForwardedHeader) -> HttpOptions {
    HttpOptions::new()
        .trusted_proxies(TRUSTED)
        .unwrap()
        .nat64_prefixes(NAT64)
        .unwrap()
        .forwarded_header(header)
}

fn subjects(header: ForwardedHeader) -> Subjects {
    Subjects::new(Key::ip(), options(header))
}

fn request(name: &str, lines: &[impl AsRef<[u8]>]) -> Request<Body> {
    let mut request = Request::builder();
    for line in lines {
        request = request.header(name, HeaderValue::from_bytes(line.as_ref()).unwrap());
    }
    request.body(Body::empty()).unwrap()
}

/// The peer, its lines of the header, and whose request it is.
type Case = (&'static str, &'static [&'static str], &'static str);

const X_FORWARDED_FOR: &[Case] = &[
    // Without trusted proxies the peer is the client.
    ("203.0.113.5:1", &[], "203.0.113.5"),
    ("203.0.113.5:1", &["198.51.100.1"], "203.0.113.5"),
    ("203.0.113.5:1", &["10.0.0.1"], "203.0.113.5"),
    ("203.0.113.5:1", &["garbage", "10.0.0.1"], "203.0.113.5"),
    ("192.0.2.8:1", &["198.51.100.1"], "192.0.2.8"),
    ("[2001:db8:1:2:3:4:5:6]:1", &["198.51.100.1"], "2001:db8:1:2/64"),
    ("[::ffff:203.0.113.5]:1", &["198.51.100.1"], "203.0.113.5"),
    ("11.0.0.0:1", &["198.51.100.1"], "11.0.0.0"),
    ("9.255.255.255:1", &["198.51.100.1"], "9.255.255.255"),
    ("[fe00::1]:1", &["198.51.100.1"], "fe00:0:0:0/64"),
    ("172.32.0.1:1", &["198.51.100.1"], "172.32.0.1"),
    // A trusted peer that says nothing speaks for itself.
    ("10.0.0.1:1", &[], "10.0.0.1"),
    ("10.0.0.1:1", &[""], "10.0.0.1"),
    ("10.0.0.1:1", &[" \t "], "10.0.0.1"),
    ("10.0.0.1:1", &[","], "10.0.0.1"),
    ("[fd00::1]:1", &[], "fd00:0:0:0/64"),
    // One that speaks for a client.
    ("10.0.0.1:1", &["198.51.100.1"], "198.51.100.1"),
    ("10.255.255.255:1", &["198.51.100.1"], "198.51.100.1"),
    ("192.0.2.7:1", &["198.51.100.1"], "198.51.100.1"),
    ("[fdff::1]:1", &["198.51.100.1"], "198.51.100.1"),
    ("172.31.255.255:1", &["198.51.100.1"], "198.51.100.1"),
    ("[::ffff:10.0.0.1]:1", &["198.51.100.1"], "198.51.100.1"),
    ("[::ffff:172.16.0.1]:1", &["198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["  198.51.100.1\t"], "198.51.100.1"),
    // What a client has put in front does not matter.
    ("10.0.0.1:1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["1.2.3.4,198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["10.0.0.9, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["garbage, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["\", 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1", "1.2.3.4"], "1.2.3.4"),
    // Several trusted proxies in a row.
    ("10.0.0.1:1", &["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1, 10.0.0.2, 192.0.2.7"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1, 10.0.0.3", "fd00::2, 10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1:1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1:1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    // What cannot be read ends the search: nothing to the left of it is believed.
    ("10.0.0.1:1", &["198.51.100.1, unknown"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1, "], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1,"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1", ""], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1, garbage, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1:1", &["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1:1", &["198.51.100.1, , 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1:1", &["198.51.100.1 10.0.0.2"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.256"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.01"], "10.0.0.1"),
    ("10.0.0.1:1", &["0xc6336401"], "10.0.0.1"),
    ("10.0.0.1:1", &["localhost"], "10.0.0.1"),
    ("10.0.0.1:1", &["\"198.51.100.1\""], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1"], "10.0.0.1"),
    // Ports and brackets.
    ("10.0.0.1:1", &["198.51.100.1:4711"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1:4711, 10.0.0.2:80"], "198.51.100.1"),
    ("10.0.0.1:1", &["[2001:db8:1:2::1]:4711"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["[2001:db8:1:2::1]"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["2001:db8:1:2::1"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["2001:DB8:1:2::1"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["198.51.100.1:"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1:99999"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1:+80"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1:http"], "10.0.0.1"),
    ("10.0.0.1:1", &["[198.51.100.1]"], "10.0.0.1"),
    ("10.0.0.1:1", &["[2001:db8::1"], "10.0.0.1"),
    ("10.0.0.1:1", &["2001:db8::1]"], "10.0.0.1"),
    ("10.0.0.1:1", &["[2001:db8::1]80"], "10.0.0.1"),
    ("10.0.0.1:1", &["[fe80::1%eth0]"], "10.0.0.1"),
    // IPv4 that is written as IPv6 is IPv4, also to be trusted.
    ("10.0.0.1:1", &["::ffff:198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["[::ffff:198.51.100.1]:80"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1, ::ffff:10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1:1", &["::ffff:c633:6401"], "198.51.100.1"),
    ("10.0.0.1:1", &["::198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["::1"], "0:0:0:0/64"),
    ("10.0.0.1:1", &["::"], "0:0:0:0/64"),
    ("10.0.0.1:1", &["::2"], "0.0.0.2"),
    ("10.0.0.1:1", &["::ffff:0:198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["[64:ff9b::198.51.100.1]:80"], "198.51.100.1"),
    ("10.0.0.1:1", &["64:ff9b:0:0:1::198.51.100.1"], "64:ff9b:0:0/64"),
    ("10.0.0.1:1", &["64:ff9b:1::198.51.100.1"], "64:ff9b:1:0/64"),
    // As peers, too: of other translators, and of the operator's own.
    ("[64:ff9b::203.0.113.5]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[::ffff:0:203.0.113.5]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[::203.0.113.5]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[::1]:1", &["198.51.100.1"], "0:0:0:0/64"),
    ("[2001:db8:f000::203.0.113.5]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[2001:db9:cb00:7105::]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[2001:dba:ffcb:71:5::]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[2001:dba:1:cb00:71:500::]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[2001:dba:2:ffcb:0:7105::]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[2001:dba:3:ffff:cb:71:500:0]:1", &["198.51.100.1"], "203.0.113.5"),
    // The bits after the address are ignored, and bits 64 to 71 are zero, or it is none.
    ("[2001:dba:3:ffff:cb:71:5ff:ffff]:1", &["198.51.100.1"], "203.0.113.5"),
    ("[2001:dba:3:ffff:1cb:71:500:0]:1", &["198.51.100.1"], "2001:dba:3:ffff/64"),
    ("[2001:db8:f001::203.0.113.5]:1", &["198.51.100.1"], "2001:db8:f001:0/64"),
    // And to be trusted.
    ("[64:ff9b::10.0.0.1]:1", &["198.51.100.1"], "198.51.100.1"),
    ("[::ffff:0:10.0.0.1]:1", &["198.51.100.1"], "198.51.100.1"),
    ("[2001:db8:f000::10.0.0.1]:1", &["198.51.100.1"], "198.51.100.1"),
    ("[2001:db9:a00:1::]:1", &["198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1, 64:ff9b::10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1:1", &["198.51.100.1, 2001:db8:f000::10.0.0.2"], "198.51.100.1"),
    ("192.168.0.1:1", &["198.51.100.1"], "198.51.100.1"),
    ("192.169.0.1:1", &["198.51.100.1"], "192.169.0.1"),
    ("100.64.0.1:1", &["198.51.100.1"], "198.51.100.1"),
    ("100.128.0.1:1", &["198.51.100.1"], "100.128.0.1"),
    // nginx on a Unix socket, and Squid with `forwarded_for off`.
    ("10.0.0.1:1", &["198.51.100.1, unix:"], "10.0.0.1"),
];

const FORWARDED: &[Case] = &[
    ("203.0.113.5:1", &["for=198.51.100.1"], "203.0.113.5"),
    ("10.0.0.1:1", &[], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["For=\"198.51.100.1\""], "198.51.100.1"),
    ("10.0.0.1:1", &["FOR=\"198.51.100.1:4711\""], "198.51.100.1"),
    ("10.0.0.1:1", &["for=\"[2001:db8:1:2::1]:4711\""], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["for=\"[2001:db8:1:2::1]\""], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["for=\"[::ffff:198.51.100.1]\""], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;proto=https;by=10.0.0.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["proto=https;for=198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["host=\"a,b;for=1.2.3.4\";for=198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1 ; proto=https "], "198.51.100.1"),
    ("10.0.0.1:1", &["for=1.2.3.4, for=198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1, for=10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1", "for=10.0.0.2;by=_x"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=\"[2001:db8:1:2::1]\", for=\"[fd00::1]:80\""], "2001:db8:1:2/64"),
    // An open quote of the client's does not swallow what the proxy has added.
    ("10.0.0.1:1", &["for=\", for=198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=1.2.3.4;by=\"x, for=\"198.51.100.1\""], "198.51.100.1"),
    ("10.0.0.1:1", &["for=\"1.2.3.4, for=\"198.51.100.1\";by=\"_a\""], "198.51.100.1"),
    // What is no address ends the search.
    ("10.0.0.1:1", &["for=unknown"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1, for=unknown"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1:1", &["for=198.51.100.1, for=\"_gazonk\""], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1, proto=https"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1, "], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;for=1.2.3.4"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;host=a\"b"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;host"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;host=a b"], "10.0.0.1"),
    ("10.0.0.1:1", &["host=x;for=1.2.3.4;for=198.51.100.1"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=[2001:db8::1"], "10.0.0.1"),
    // A port or the last group of the address.
    ("10.0.0.1:1", &["for=\"2001:db8::1:4711\""], "10.0.0.1"),
    ("10.0.0.1:1", &["for=2001:db8::1:80"], "10.0.0.1"),
    // As proxies write it: Traffic Server, hyper-server, nginx, HAProxy.
    ("10.0.0.1:1", &["for=198.51.100.1;connection=http/1.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;by=3e6fc6c7-5bd7;connection=http/1.1[a@b]"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;host=example.com:8080"], "198.51.100.1"),
    ("10.0.0.1:1", &["host=example.com:8080;for=198.51.100.1;proto=http"], "198.51.100.1"),
    ("10.0.0.1:1", &["host=;for=198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["by=[2001:db8::9]:80;for=198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1;"], "198.51.100.1"),
    ("10.0.0.1:1", &[";;for=198.51.100.1 ; ;proto=http;"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=198.51.100.1:4711"], "198.51.100.1"),
    ("10.0.0.1:1", &["for=[2001:db8:1:2::1]"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["for=[2001:db8:1:2::1]:4711"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["for=\"2001:db8:1:2::1\""], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["for=2001:db8:1:2::1"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["for=2001:db8:1:2:3:4:5:6"], "2001:db8:1:2/64"),
    ("10.0.0.1:1", &["for=64:ff9b::c633:640a"], "198.51.100.10"),
    ("10.0.0.1:1", &["for=198.51.100.1;proto=http, for=\"[64:ff9b::10.0.0.2]\""], "198.51.100.1"),
    ("10.0.0.1:1", &["for=\"198.51.100.1"], "10.0.0.1"),
    ("10.0.0.1:1", &["for=198.51.100.1\""], "10.0.0.1"),
    ("10.0.0.1:1", &["for=\"198.51\\.100.1\""], "10.0.0.1"),
    ("10.0.0.1:1", &["for=\"\""], "10.0.0.1"),
    ("10.0.0.1:1", &["for="], "10.0.0.1"),
    ("10.0.0.1:1", &["for"], "10.0.0.1"),
    ("10.0.0.1:1", &["198.51.100.1"], "10.0.0.1"),
    ("10.0.0.1:1", &["by=198.51.100.1"], "10.0.0.1"),
];

#[tokio::test]
async fn the_table() {
    assert!(X_FORWARDED_FOR.len() + FORWARDED.len() >= 60);
    for (name, header, cases) in [
        ("x-forwarded-for", ForwardedHeader::XForwardedFor, X_FORWARDED_FOR),
        ("forwarded", ForwardedHeader::Forwarded, FORWARDED),
    ] {
        let mut subjects = subjects(header);
        for (peer, lines, expected) in cases {
            let subject = subjects.of(peer.parse().unwrap(), request(name, lines)).await;
            assert_eq!(subject, *expected, "{peer} with {name}: {lines:?}");
        }
    }
}

#[tokio::test]
async fn only_the_header_that_was_chosen_is_read() {
    let peer = "10.0.0.1:1".parse().unwrap();
    let both = || {
        Request::builder()
            .header("x-forwarded-for", "198.51.100.1")
            .header("forwarded", "for=198.51.100.2")
            .header("x-real-ip", "198.51.100.3")
            .header("cf-connecting-ip", "198.51.100.4")
            .body(Body::empty())
            .unwrap()
    };
    let x_forwarded_for = subjects(ForwardedHeader::XForwardedFor).of(peer, both()).await;
    assert_eq!(x_forwarded_for, "198.51.100.1");
    assert_eq!(subjects(ForwardedHeader::Forwarded).of(peer, both()).await, "198.51.100.2");
    let nobody_is_trusted = HttpOptions::new();
    assert_eq!(Subjects::new(Key::ip(), nobody_is_trusted).of(peer, both()).await, "10.0.0.1");
}

#[tokio::test]
async fn the_prefix_of_ipv6_can_be_set() {
    let peer = "[2001:db8:1:2ff:3:4:5:6]:1".parse().unwrap();
    for (bits, expected) in [
        (32, "2001:db8/32"),
        (48, "2001:db8:1/48"),
        (56, "2001:db8:1:200/56"),
        (128, "2001:db8:1:2ff:3:4:5:6/128"),
    ] {
        let options = HttpOptions::new().ipv6_prefix(bits).unwrap();
        let none: [&str; 0] = [];
        let subject = Subjects::new(Key::ip(), options).of(peer, request("a", &none)).await;
        assert_eq!(subject, expected);
    }
}

#[test]
fn options_that_cannot_be_say_why() {
    for text in ["10.0.0.0/33", "10.0.0", "proxy.example", "", "10.0.0.1:80", "::/129"] {
        let error = HttpOptions::new().trusted_proxies([text]).unwrap_err().to_string();
        assert!(error.contains(&format!("`{text}`")) && error.contains("10.0.0.0/8"), "{error}");
    }
    for bits in [0, 129] {
        let error = HttpOptions::new().ipv6_prefix(bits).unwrap_err().to_string();
        assert_eq!(error, format!("an IPv6 prefix has 1 to 128 bits, not {bits}"));
    }
}

/// What the definition says, written for itself: from left to right, with the standard
/// library's parsers and arithmetic on bits.
mod oracle {
    use super::*;

    /// The bits of the IPv4 address, in the mapped form, wherever it stands; by the text of the
    /// address's octets.
    fn bits(address: IpAddr) -> u128 {
        let ipv4 = |octets: [u8; 4]| 0xffff_0000_0000 | u128::from(u32::from_be_bytes(octets));
        let octets = match address {
            IpAddr::V4(address) => return ipv4(address.octets()),
            IpAddr::V6(address) => address.octets(),
        };
        let at = |places: [usize; 4]| ipv4(places.map(|place| octets[place]));
        let last = [12, 13, 14, 15];
        for prefix in ["::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "2001:db8:f000::"] {
            if octets[..12] == prefix.parse::<std::net::Ipv6Addr>().unwrap().octets()[..12] {
                return at(last);
            }
        }
        if octets[..12] == [0; 12] && address > "::1".parse::<IpAddr>().unwrap() {
            return at(last);
        }
        for (prefix, len, places) in [
            ("2001:db9::", 4, [4, 5, 6, 7]),
            ("2001:dba:ff00::", 5, [5, 6, 7, 9]),
            ("2001:dba:1::", 6, [6, 7, 9, 10]),
            ("2001:dba:2:ff00::", 7, [7, 9, 10, 11]),
            ("2001:dba:3:ffff::", 8, [9, 10, 11, 12]),
        ] {
            let prefix = prefix.parse::<std::net::Ipv6Addr>().unwrap().octets();
            if octets[..len] == prefix[..len] && octets[8] == 0 {
                return at(places);
            }
        }
        u128::from_be_bytes(octets)
    }

    fn is_trusted(address: IpAddr) -> bool {
        let networks = [
            ("10.0.0.0", 8 + 96),
            ("192.0.2.7", 128),
            ("fd00::", 8),
            ("172.16.0.0", 108),
            ("192.168.0.0", 112),
            ("100.64.0.0", 106),
        ];
        networks.into_iter().any(|(network, length)| {
            let network = bits(network.parse().unwrap());
            (bits(address) ^ network).leading_zeros() >= length
        })
    }

    fn subject(address: IpAddr) -> String {
        let bits = bits(address);
        if bits >> 32 == 0xffff {
            return IpAddr::V4((bits as u32).into()).to_string();
        }
        let segments = [112, 96, 80, 64].map(|shift| format!("{:x}", bits >> shift & 0xffff));
        format!("{}/64", segments.join(":"))
    }

    fn node(text: &str) -> Option<IpAddr> {
        let long_port = text.rsplit(':').next().is_some_and(|port| port.len() > 5);
        if text.contains('%') {
            return None;
        }
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return inner.parse().ok().map(IpAddr::V6);
        }
        text.parse::<SocketAddr>().ok().filter(|_| !long_port).map(|address| address.ip())
    }

    fn is_token(text: &str) -> bool {
        !text.is_empty()
            && text
                .chars()
                .all(|char| char.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(char))
    }

    /// Parts between separators that are outside quotes.
    fn split(text: &str, separator: char) -> Vec<String> {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        for char in text.chars() {
            quoted ^= char == '"';
            if char == separator && !quoted {
                parts.push(String::new());
            } else {
                parts.last_mut().unwrap().push(char);
            }
        }
        parts
    }

    fn trim(text: &str) -> &str {
        text.trim_matches([' ', '\t'])
    }

    fn element(text: &str) -> Option<IpAddr> {
        if text.contains('\\') {
            return None;
        }
        let mut found = Vec::new();
        for pair in split(text, ';') {
            if trim(&pair).is_empty() {
                continue;
            }
            let (name, value) = trim(&pair).split_once('=')?;
            let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let has_blank = unquoted.is_none() && value.contains([' ', '\t']);
            let value = unquoted.unwrap_or(value);
            if !is_token(trim(name)) || has_blank || value.contains('"') {
                return None;
            }
            if trim(name).to_lowercase() == "for" {
                found.push(value.to_owned());
            }
        }
        let [value] = found.as_slice() else { return None };
        let is_bare = |address: &IpAddr| address.is_ipv6() && !value.starts_with('[');
        let with_port = |value: &str| {
            let (address, port) = value.rsplit_once(':').unwrap();
            node(&format!("[{address}]:{port}")).is_some()
        };
        node(value).filter(|address| !is_bare(address) || !with_port(value))
    }

    pub(super) fn client(peer: SocketAddr, lines: &[Vec<u8>], header: ForwardedHeader) -> String {
        let lines: Vec<String> =
            lines.iter().map(|line| line.iter().map(|&byte| char::from(byte)).collect()).collect();
        let entries: Vec<Option<IpAddr>> = match header {
            ForwardedHeader::Forwarded => lines
                .iter()
                .flat_map(|line| {
                    // Quotes are paired from the right, where the proxies have written.
                    let mirrored: String = line.chars().rev().collect();
                    let mut elements = split(&mirrored, ',');
                    elements.reverse();
                    elements
                })
                .map(|mirrored| element(trim(&mirrored.chars().rev().collect::<String>())))
                .collect(),
            _ => lines.join(",").split(',').map(|entry| node(trim(entry))).collect(),
        };
        let mut entries = if lines.is_empty() { Vec::new() } else { entries };
        let mut client = peer.ip();
        while is_trusted(client) {
            match entries.pop() {
                Some(Some(address)) => client = address,
                Some(None) | None => break,
            }
        }
        subject(client)
    }
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "10\\.0\\.0\\.[1-9]",
        1 => "::ffff:10\\.0\\.0\\.[1-9]",
        2 => "fd00::[1-9]",
        2 => "(64:ff9b|::ffff:0|2001:db8:f000|:)::?(10\\.0\\.0|192\\.168\\.0|8\\.8\\.8)\\.[1-9]",
        2 => "2001:(db9|dba:ffa?|dba:1|dba:2:ffa?|dba:3:ffff):(a00:|:a:|1?a:0:)[0-9a-f]{1,4}::",
        1 => "2001:db8::[0-9a-f]{1,2}:[0-9]{1,5}",
        2 => "(198\\.51\\.100|172\\.(15|16|31|32)\\.0)\\.[0-9]{1,3}",
        2 => "2001:db8:[0-9a-f]{1,4}::[0-9a-f]{0,4}",
        1 => any::<IpAddr>().prop_map(|address| address.to_string()),
    ]
}

fn node() -> impl Strategy<Value = String> {
    let port = prop_oneof![Just(String::new()), ":[0-9]{1,6}"];
    prop_oneof![
        6 => address(),
        3 => (address(), port.clone()).prop_map(|(address, port)| format!("{address}{port}")),
        3 => (address(), port).prop_map(|(address, port)| format!("[{address}]{port}")),
        1 => "(unknown|_[a-z]{0,4}|[0-9a-f:.\\[\\]% ]{0,12})",
    ]
}

fn x_forwarded_for() -> impl Strategy<Value = String> {
    let entry = (" {0,2}", node(), "[ \t]{0,1}").prop_map(|(a, node, b)| format!("{a}{node}{b}"));
    prop::collection::vec(entry, 0..5).prop_map(|entries| entries.join(","))
}

fn forwarded() -> impl Strategy<Value = String> {
    let pair = prop_oneof![
        4 => node().prop_map(|node| format!("for=\"{node}\"")),
        2 => node().prop_map(|node| format!("For={node}")),
        2 => "(by|proto|host) ?=(_[a-z]{1,3}|\"[a-z,;=]{0,6}\"|[a-z:/@\\[\\]=0-9]{0,6})",
        1 => "[a-z=;\", \\\\]{0,6}",
    ];
    let element = prop::collection::vec(pair, 1..4).prop_map(|pairs| pairs.join(";"));
    prop::collection::vec(element, 0..4).prop_map(|elements| elements.join(", "))
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => x_forwarded_for().prop_map(String::into_bytes),
        4 => forwarded().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ]
    .prop_map(|mut line| {
        line.retain(|byte| HeaderValue::from_bytes(&[*byte]).is_ok());
        line
    })
}

fn peer(trusted: bool) -> impl Strategy<Value = SocketAddr> {
    let peer = if trusted {
        prop_oneof![
            Just("10.1.2.3".to_owned()),
            Just("fd00::1".to_owned()),
            Just("64:ff9b::10.1.2.3".to_owned()),
            Just("2001:dba:1:a01:2:300::".to_owned()),
        ]
        .boxed()
    } else {
        prop_oneof![
            "203\\.0\\.113\\.[1-9]",
            "2001:db8:9:[0-9a-f]{1,4}::1",
            "(64:ff9b::|::ffff:0:|::|2001:db8:f000::)8\\.8\\.8\\.[1-9]",
            "2001:dba:3:ffff:[01]8:808:800:[0-9a-f]{1,4}",
            "::ffff:8\\.8\\.8\\.[1-9]"
        ]
        .boxed()
    };
    peer.prop_map(|peer| SocketAddr::new(peer.parse().unwrap(), 4711))
}

fn run(
    trusted: bool,
    cases: u32,
    check: impl Fn(SocketAddr, &[Vec<u8>], &mut Subjects, ForwardedHeader) -> Result<(), TestCaseError>,
) {
    for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        let subjects = std::cell::RefCell::new(subjects(header));
        let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
        let lines = prop::collection::vec(line(), 0..4);
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let result = runner.run(&(peer(trusted), lines), |(peer, lines)| {
            check(peer, &lines, &mut subjects.borrow_mut(), header)
        });
        result.unwrap();
    }
}

fn name(header: ForwardedHeader) -> &'static str {
    if header == ForwardedHeader::Forwarded { "forwarded" } else { "x-forwarded-for" }
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

#[test]
fn behind_trusted_proxies_it_is_who_the_oracle_says() {
    run(true, scaled(1_000, 50_000), |peer, lines, subjects, header| {
        let subject = block_on(subjects.of(peer, request(name(header), lines)));
        prop_assert_eq!(subject, oracle::client(peer, lines, header));
        Ok(())
    });
}

#[test]
fn nothing_that_an_untrusted_peer_sends_changes_the_subject() {
    run(false, scaled(1_000, 50_000), |peer, lines, subjects, header| {
        let none: [&str; 0] = [];
        let without = block_on(subjects.of(peer, request(name(header), &none)));
        let with = block_on(subjects.of(peer, request(name(header), lines)));
        prop_assert_eq!(&with, &without);
        prop_assert_eq!(with, oracle::client(peer, &[], header));
        Ok(())
    });
}
