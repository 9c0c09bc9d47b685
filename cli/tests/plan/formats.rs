//! The formats in which servers write: each is recognised, told of before anything is replayed, and
//! read as the server meant it.

use std::fs;

use crate::folder::{Folder, said};
use crate::{Row, most_refused, row};

/// The logs of one and the same traffic: ten requests of three clients, of whom the first comes six
/// times and the second three times, all within seconds.
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs/");

/// A log, its format, and options that it needs.
const TRAFFIC: &[(&str, &str, &[&str])] = &[
    ("apache-vhost.log", "vhost_combined", &[]),
    ("aws-alb.log", "AWS Application Load Balancer", &[]),
    ("aws-elb.log", "AWS Classic Load Balancer", &[]),
    ("cloudfront.log", "W3C extended", &[]),
    ("envoy.log", "Envoy", &[]),
    ("haproxy.log", "HAProxy", &[]),
    ("iis.log", "W3C extended", &[]),
    ("istio.log", "Envoy", &["--trusted-proxies", "203.0.113.0/24"]),
    ("nginx.log", "combined", &["--trusted-proxies", "203.0.113.0/24"]),
    ("squid.log", "Squid", &[]),
    ("traefik.json", "Traefik's JSON", &[]),
    ("traefik.log", "Traefik", &[]),
];

fn log(name: &str) -> String {
    fs::read_to_string(format!("{LOGS}{name}")).unwrap()
}

#[test]
fn each_is_recognised_and_read_as_its_server_meant_it() {
    let folder = Folder::new();
    for (name, format, options) in TRAFFIC {
        let log = log(name);
        folder.log(&log);
        let arguments = [*options, &["-l", "3/60s", "access.log"]].concat();
        let output = folder.run(&arguments);
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), said(&output));
        assert!(output.status.success(), "{name}: {said}");
        let lines = log.lines().count();
        let expected = format!("access.log: {format}, by {lines} of its first {lines} lines\n");
        assert!(said.starts_with(&expected), "{name}: {said}");
        assert!(said.contains(", path /items\n") || *name == "squid.log", "{name}: {said}");
        let first = format!("10 requests of 3 clients ({format}), 2025-10-10 12:00:00 UTC to ");
        assert!(printed.contains(&first), "{name}: {printed}");
        assert!(!printed.contains("left out"), "{name}: {printed}");
        let limit = "3/60s sliding_window";
        let expected = Row { requests: 10, refused: 3, subjects_refused: 1, subjects: 3 };
        assert_eq!(row(&printed, limit), expected, "{name}: {printed}");
        let most = most_refused(&printed, limit);
        assert_eq!(most, [("192.0.2.10".to_owned(), 3)], "{name}: {printed}");
        // Lines of others are told apart. What the combined format has, Traefik has where it is there.
        for (other, ..) in TRAFFIC.iter().filter(|(_, other, _)| other != format) {
            let mixed = [&log, self::log(other).lines().last().unwrap()].concat();
            folder.log(mixed);
            let printed = folder.prints(&arguments);
            if ["nginx.log", "traefik.log"].iter().all(|pair| [name, other].contains(&pair)) {
                continue;
            }
            let read = format!("{format} 10");
            assert!(
                printed.contains(&read) || printed.contains("malformed"),
                "{name} {other}: {printed}"
            );
        }
    }
}

#[test]
fn other_keys_are_found_in_each() {
    let folder = Folder::new();
    for (name, format, _) in TRAFFIC {
        folder.log(log(name));
        let subjects = |key: &str| {
            let output = folder.run(&["-l", "3/60s", "-k", key, "access.log"]);
            let printed = String::from_utf8(output.stdout).unwrap();
            output.status.success().then(|| row(&printed, "3/60s sliding_window").subjects)
        };
        // The query of `/items?page=1` is no part of the path.
        assert_eq!(subjects("path"), Some(6), "{name}");
        let has_agents = !["haproxy.log", "squid.log"].contains(name);
        assert_eq!(subjects("agent"), has_agents.then_some(3), "{name}, {format}");
        assert_eq!(subjects("user"), None, "{name}");
    }
}

/// Without the look at the address, Apache's virtual host is the one client of all requests.
#[test]
fn a_virtual_host_is_not_the_client() {
    let folder = Folder::new();
    let request = "[10/Oct/2025:12:00:00 +0000] \"GET / HTTP/1.1\" 200 5";
    let agent = "\"-\" \"curl\"";
    for (host, client, named) in [
        ("shop.example:443", "192.0.2.1", "192.0.2.1"),
        ("shop.example", "192.0.2.1", "192.0.2.1"),
        ("shop.example:443", "2001:db8::1", "2001:db8::/64"),
        ("shop.example:443", "dsl.client.example", "dsl.client.example"),
        ("203.0.113.80:443", "192.0.2.1", "192.0.2.1"),
        ("[2001:db8:80::1]:443", "192.0.2.1", "192.0.2.1"),
    ] {
        for tail in [agent, ""] {
            let line =
                format!("{host} {client} - ann [10/Oct/2025:12:00:00 +0000] {request} {tail}\n");
            let line = line.replace("+0000] [10/Oct/2025:12:00:00 +0000]", "+0000]");
            folder.log(line.repeat(2));
            let printed = folder.prints(&["-l", "1/60s", "access.log"]);
            assert!(printed.contains("clients (vhost_combined)"), "{host}: {printed}");
            let refused = most_refused(&printed, "1/60s sliding_window");
            assert_eq!(refused, [(named.to_owned(), 1)], "{line}");
            let printed = folder.prints(&["-l", "1/60s", "-k", "user", "access.log"]);
            assert_eq!(most_refused(&printed, "1/60s sliding_window"), [("ann".to_owned(), 1)]);
        }
    }
    // Whoever comes first in these is the client.
    for client in ["192.0.2.1", "2001:db8::1", "dsl.client.example", "192.0.2.1:4711"] {
        folder.log(format!("{client} - two words {request} {agent}\n").repeat(2));
        let printed = folder.prints(&["-l", "1/60s", "access.log"]);
        assert!(printed.contains("2 requests of 1 clients (combined)"), "{client}: {printed}");
    }
}

/// The library reads the header from the right, up to the first who is no proxy.
#[test]
fn forwarded_addresses_are_read_as_the_library_reads_them() {
    let folder = Folder::new();
    let nginx = |peer: &str, forwarded: &str| {
        format!(
            "{peer} - - [10/Oct/2025:12:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"a \\\"b\\\"\" \"{forwarded}\"\n"
        )
    };
    for (peer, forwarded, client) in [
        ("203.0.113.9", "192.0.2.1", "192.0.2.1"),
        // The text to the left of the client is the client's own invention.
        ("203.0.113.9", "198.51.100.66, 192.0.2.1", "192.0.2.1"),
        ("203.0.113.9", "198.51.100.66, 192.0.2.1, 203.0.113.8", "192.0.2.1"),
        ("203.0.113.9", "192.0.2.1:52410", "192.0.2.1"),
        ("203.0.113.9", "::ffff:192.0.2.1", "192.0.2.1"),
        ("203.0.113.9", "[2001:db8::1]:80", "2001:db8::/64"),
        // An entry that cannot be read ends the search.
        ("203.0.113.9", "192.0.2.1, unknown", "203.0.113.9"),
        ("203.0.113.9", "192.0.2.1, unknown, 203.0.113.8", "203.0.113.8"),
        ("203.0.113.9", "-", "203.0.113.9"),
        // A peer that is no proxy is believed nothing.
        ("192.0.2.7", "198.51.100.66", "192.0.2.7"),
    ] {
        folder.log(nginx(peer, forwarded).repeat(2));
        let trusting = ["--trusted-proxies", "203.0.113.0/24", "-l", "1/60s", "access.log"];
        let refused = most_refused(&folder.prints(&trusting), "1/60s sliding_window");
        assert_eq!(refused, [(client.to_owned(), 1)], "{peer} {forwarded}");
    }

    // A header under another name, in another place, or in JSON.
    let json = "{\"ts\":1,\"request\":{\"remote_ip\":\"203.0.113.9\",\"headers\":{\"X-Forwarded-For\":[\"198.51.100.66\",\"192.0.2.1\"]}}}\n";
    let haproxy = "203.0.113.9:4711 [10/Oct/2025:12:00:00.001] web app/s1 0/0/1/2/3 200 9 - - ---- 1/1/0/0/0 0/0 {shop.example|198.51.100.66, 192.0.2.1} {} \"GET / HTTP/1.1\"\n";
    for (line, more) in [
        (json.to_owned(), &[][..]),
        (json.replace("headers", "fields"), &["--forwarded", "request.fields.X-Forwarded-For"]),
        (haproxy.to_owned(), &["--fields", "host,x_forwarded_for"]),
        (haproxy.to_owned(), &["--fields", "host,via", "--forwarded", "via"]),
        (
            nginx("203.0.113.9", "x\" \"192.0.2.1"),
            &["--fields", "referer,agent,id,x_forwarded_for"],
        ),
    ] {
        folder.log(line.repeat(2));
        let trusting = ["--trusted-proxies", "203.0.113.9", "-l", "1/60s", "access.log"];
        let printed = folder.prints(&[more, &trusting].concat());
        let refused = most_refused(&printed, "1/60s sliding_window");
        assert_eq!(refused, [("192.0.2.1".to_owned(), 1)], "{line}");
    }
}

#[test]
fn what_may_be_read_wrongly_is_said() {
    let folder = Folder::new();
    let nginx = "203.0.113.9 - - [10/Oct/2025:12:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"a\" \"192.0.2.1\"\n";
    for (log, arguments, expected) in [
        (
            nginx,
            &[][..],
            "the peer is taken for the client; if it is your proxy, name it by --trusted",
        ),
        (
            nginx,
            &[],
            "its first request: peer 203.0.113.9, at 2025-10-10 12:00:00 UTC, forwarded for 192.0.2.1",
        ),
        (&log("envoy.log"), &[], "it names no peer, so the last address that was forwarded is the"),
        (
            &log("iis.log"),
            &["--trusted-proxies", "203.0.113.9"],
            "--fields or --forwarded says which",
        ),
        (
            &log("haproxy.log"),
            &[],
            "its times have no zone and are read as UTC: --zone +02:00 says",
        ),
        ("one\ntwo\n", &[], "its first lines are in no format that is known: Traefik's JSON,"),
    ] {
        folder.log(log);
        let said = said(&folder.run(&[arguments, &["access.log"]].concat()));
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn times_without_a_zone_are_in_the_one_that_is_said() {
    let folder = Folder::new();
    let json = |time: &str| format!("{{\"time\":\"{time}\",\"ip\":\"192.0.2.1\"}}\n");
    for time in [
        "2025-10-10T12:00:00",
        "2025-10-10 12:00:00.5",
        "2025-10-10 12:00:00,5",
        "10/Oct/2025:12:00:00",
    ] {
        folder.log(json(time).repeat(2));
        let printed = folder.prints(&["access.log"]);
        assert!(printed.contains("requests whose times have no zone, read as UTC: 2"), "{printed}");
        assert!(printed.contains("2025-10-10 12:00:00 UTC"), "{time}: {printed}");
        let printed = folder.prints(&["--zone", "+02:00", "access.log"]);
        assert!(printed.contains("read as UTC+02:00: 2"), "{printed}");
        assert!(printed.contains("2025-10-10 10:00:00 UTC"), "{time}: {printed}");
    }
    for (time, utc) in [
        ("2025-10-10T12:00:00Z", "12:00:00"),
        ("2025-10-10T12:00:00.123456789-05:30", "17:30:00"),
        ("10/Oct/2025:12:00:00 +0200", "10:00:00"),
        ("2025-10-10T12:00:60Z", "12:00:59"),
    ] {
        folder.log(json(time));
        let printed = folder.prints(&["--zone", "-0800", "access.log"]);
        assert!(printed.contains(&format!("2025-10-10 {utc} UTC")), "{time}: {printed}");
        assert!(!printed.contains("zone"), "{time}: {printed}");
    }
    for time in [
        "2025-13-10T12:00:00Z",
        "2025-10-10T25:00:00Z",
        "10/Okt/2025:12:00:00",
        "2025-10-10T12:00:00 CET",
    ] {
        folder.log([json(time), json("2025-10-10T12:00:00Z")].concat());
        let printed = folder.prints(&["access.log"]);
        assert!(printed.contains("line 1: its time cannot be read"), "{time}: {printed}");
    }
}

#[test]
fn mixed_lines_are_counted_by_their_format() {
    let folder = Folder::new();
    let mixed = [log("traefik.log"), log("envoy.log"), log("envoy.log"), "cut".to_owned()].concat();
    folder.log(mixed);
    let output = folder.run(&["access.log"]);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(printed.contains("30 requests of 3 clients (Envoy 20, Traefik 10)"), "{printed}");
    assert!(
        printed.contains("malformed lines, left out: 1\n    line 31: it is in no"),
        "{printed}"
    );
    assert!(said(&output).contains("access.log: Envoy, by 20 of its first 31 lines"));
}

/// A line that is of a format but broken is told by the format's own reason.
#[test]
fn a_broken_line_says_why() {
    let folder = Folder::new();
    let broken = [
        ("iis.log", 5, " 200 ", " ", "it has not as many columns as `#Fields` names"),
        (
            "envoy.log",
            1,
            " \"shop.example\"",
            "",
            "it has fewer fields in quotes than Envoy writes",
        ),
        ("traefik.log", 1, "\" 200 ", "\" ", "there is no status behind the request"),
    ];
    for (name, place, from, to, why) in broken {
        let log = log(name);
        let lines = log.lines().enumerate().map(|(at, line)| match at == place {
            true => format!("{}\n", line.replacen(from, to, 1)),
            false => format!("{line}\n"),
        });
        folder.log(lines.collect::<String>());
        let printed = folder.prints(&["access.log"]);
        let expected = format!("line {}: {why}", place + 1);
        assert!(printed.contains(&expected), "{name}: {printed}");
    }
    let tcp =
        "192.0.2.1:4711 [10/Oct/2025:12:00:00.001] web app/s1 0/0/5007 212 -- 0/0/0/0/3 0/0\n";
    folder.log([log("haproxy.log"), tcp.to_owned()].concat());
    let printed = folder.prints(&["access.log"]);
    assert!(
        printed.contains("it is HAProxy's line of a connection, not of a request"),
        "{printed}"
    );
    folder.log([log("envoy.log"), log("iis.log").lines().last().unwrap().to_owned()].concat());
    let printed = folder.prints(&["access.log"]);
    assert!(printed.contains("no line `#Fields` before it names its columns"), "{printed}");
}

/// A line that was cut somewhere is malformed, or still names its client; nobody else is counted for
/// it.
#[test]
fn a_cut_line_has_no_other_client() {
    let folder = Folder::new();
    for (name, _, options) in TRAFFIC {
        let log = log(name);
        let is_client = |line: &&str| line.contains("192.0.2.10") && !line.starts_with('#');
        let whole = log.lines().find(is_client).unwrap();
        let head = log.lines().filter(|line| line.starts_with('#'));
        let cut = (1..whole.len()).map(|length| &whole[..length]);
        let lines: Vec<&str> = head.chain([whole, whole]).chain(cut).collect();
        folder.log(lines.join("\n"));
        let printed = folder.prints(&[options, &["-l", "1/60s", "access.log"][..]].concat());
        let clients = most_refused(&printed, "1/60s sliding_window");
        let clients: Vec<&str> = clients.iter().map(|(client, _)| client.as_str()).collect();
        match *name {
            // If the proxy's header is cut off, the proxy is who has come.
            "nginx.log" => assert_eq!(clients, ["203.0.113.9", "192.0.2.10"], "{printed}"),
            _ => assert_eq!(clients, ["192.0.2.10"], "{name}: {printed}"),
        }
        assert!(printed.contains("malformed lines, left out"), "{name}: {printed}");
    }
}
