//! The planner, run as the program that it is: what it counts, and what it makes of bad input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

mod folder;
mod formats;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use folder::{Folder, said};

/// 10 October 2025, 12:00.
const NOON: u64 = 1_760_097_600;

/// What a row of the table says.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    requests: usize,
    refused: usize,
    subjects_refused: usize,
    subjects: usize,
}

fn row(printed: &str, limit: &str) -> Row {
    let line = printed.lines().find(|line| line.starts_with(&format!("{limit} ")));
    let line = line.unwrap_or_else(|| panic!("no row of {limit}: {printed}"));
    let numbers: Vec<usize> = line[limit.len()..]
        .split_whitespace()
        .filter_map(|word| word.replace(',', "").parse().ok())
        .collect();
    let [requests, refused, subjects_refused, subjects] = numbers[..] else {
        panic!("{numbers:?}: {line}")
    };
    Row { requests, refused, subjects_refused, subjects }
}

/// The most refused at a limit, and how often they were.
fn most_refused(printed: &str, limit: &str) -> Vec<(String, usize)> {
    let lines = printed.lines().skip_while(|line| line.trim() != limit).skip(1);
    let lines = lines.take_while(|line| line.starts_with("    "));
    lines
        .map(|line| {
            let (refused, subject) = line.trim().split_once("  ").unwrap();
            (subject.to_owned(), refused.replace(',', "").parse().unwrap())
        })
        .collect()
}

/// A naive sliding window: how often each of these is refused who come at these times.
fn naive(requests: &[(u64, String)], limit: usize, period: u64) -> HashMap<String, usize> {
    let mut admitted: HashMap<&str, VecDeque<u64>> = HashMap::new();
    let mut refused = HashMap::new();
    for (time, subject) in requests {
        let times = admitted.entry(subject).or_default();
        while times.front().is_some_and(|first| first + period <= *time) {
            times.pop_front();
        }
        if times.len() < limit {
            times.push_back(*time);
        } else {
            *refused.entry(subject.clone()).or_default() += 1;
        }
    }
    refused
}

/// Time and address in a log that the planner made, in the order of time.
fn requests(log: &str, format: &str) -> Vec<(u64, String)> {
    let mut requests: Vec<(u64, String)> = log
        .lines()
        .map(|line| {
            if format == "json" {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let micros = (line["ts"].as_f64().unwrap() * 1e6).round() as u64;
                return (micros, line["remote_addr"].as_str().unwrap().to_owned());
            }
            let (address, rest) = line.split_once(' ').unwrap();
            let time = rest.split_once("[10/Oct/2025:").unwrap().1;
            let part = |at: usize| time[at..at + 2].parse::<u64>().unwrap();
            let seconds = (part(0) * 60 + part(3)) * 60 + part(6);
            (seconds * 1_000_000, address.to_owned())
        })
        .collect();
    // Stable, as the planner is.
    requests.sort_by_key(|(time, _)| *time);
    requests
}

#[test]
fn a_log_of_each_format_is_counted_as_a_naive_count_has_it() {
    for (format, named) in [("common", "common"), ("combined", "combined"), ("json", "JSON lines")]
    {
        let folder = Folder::new();
        let sample = ["--sample", "20000", "--clients", "300", "--format", format];
        let log = folder.prints(&sample);
        assert_eq!(log, folder.prints(&sample), "another log of the same seed");
        folder.log(&log);
        let printed = folder.prints(&["-l", "5/10s,20/60s,1000/1h", "--top", "3", "access.log"]);
        assert!(
            printed.contains(&format!("20,000 requests of 300 clients ({named})")),
            "{printed}"
        );
        let requests = requests(&log, format);
        let mut some = false;
        for (limit, count, seconds) in
            [("5/10s", 5, 10), ("20/60s", 20, 60), ("1000/1h", 1000, 3600)]
        {
            let limit = format!("{limit} sliding_window");
            let refused = naive(&requests, count, seconds * 1_000_000);
            let expected = Row {
                requests: 20_000,
                refused: refused.values().sum(),
                subjects_refused: refused.len(),
                subjects: 300,
            };
            assert_eq!(row(&printed, &limit), expected, "{limit}, {format}: {printed}");
            let mut most: Vec<(String, usize)> = refused.into_iter().collect();
            most.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            most.truncate(3);
            assert_eq!(most_refused(&printed, &limit), most, "{limit}, {format}: {printed}");
            some |= !most.is_empty();
        }
        assert!(some, "nobody was refused");
        assert!(!printed.contains("malformed") && !printed.contains("full"), "{printed}");
    }
}

fn common(second: u64, address: &str) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(
        "{address} - - [10/Oct/2025:12:{minute:02}:{second:02} +0000] \"GET / HTTP/1.1\" 200 5\n"
    )
}

#[test]
fn the_algorithms_count_as_they_do_in_service() {
    let folder = Folder::new();
    // One a second for three minutes; and one who comes once.
    let mut log: String = (0..180).map(|second| common(second, "192.0.2.1")).collect();
    log.push_str(&common(180, "192.0.2.2"));
    folder.log(log);
    let algorithms = "sliding_window,sliding_window_counter,fixed_window,token_bucket,gcra";
    let printed = folder.prints(&["-l", "30/60s", "-a", algorithms, "access.log"]);
    let refused = |algorithm: &str| {
        let row = row(&printed, &format!("30/60s {algorithm}"));
        assert_eq!((row.requests, row.subjects_refused, row.subjects), (181, 1, 2), "{printed}");
        row.refused
    };
    assert_eq!(refused("sliding_window"), 90);
    assert_eq!(refused("fixed_window"), 90);
    // A full bucket at the start, and one token each two seconds: the 59th second finds none.
    let bucket = (0..180).fold((30.0_f64, 0), |(tokens, refused), second| {
        let tokens = if second == 0 { tokens } else { (tokens + 0.5).min(30.0) };
        if tokens >= 1.0 { (tokens - 1.0, refused) } else { (tokens, refused + 1) }
    });
    assert_eq!(refused("token_bucket"), bucket.1);
    assert_eq!(refused("gcra"), bucket.1);
    // At a constant rate, limit − 1 in each period.
    assert!((90..=93).contains(&refused("sliding_window_counter")), "{printed}");
}

#[test]
fn the_plot_shows_the_shares() {
    let folder = Folder::new();
    let mut log: String = (0..75).map(|_| common(0, "192.0.2.1")).collect();
    log.extend((0..25).map(|_| common(1, "192.0.2.2")));
    folder.log(log);
    // 45 of 100, and one of two.
    folder.prints(&["-l", "30/60s,100/60s", "access.log"]);
    let plot = folder.plot();
    for shown in
        ["30/60s sliding_window<", "100/60s sliding_window<", ">45.0%<", ">50.0%<", ">0.0%<"]
    {
        assert!(plot.contains(shown), "{shown}: {plot}");
    }
    assert_eq!(plot.matches("<svg").count(), plot.matches("</svg>").count());

    folder.prints(&["--svg", "other.svg", "-l", "10/1s", "access.log"]);
    assert!(folder.0.join("other.svg").exists());
    let failed = folder.run(&["--svg", "no/such/folder.svg", "access.log"]);
    assert!(!failed.status.success());
    assert!(said(&failed).contains("cannot write no/such/folder.svg"), "{}", said(&failed));
}

#[test]
fn a_malformed_line_is_counted_and_named() {
    let folder = Folder::new();
    let mut log = Vec::new();
    log.extend(common(0, "192.0.2.1").into_bytes());
    log.extend(b"this is no access log\n");
    log.extend(b"\n");
    log.extend(common(1, "192.0.2.1").into_bytes());
    log.extend(b"{\"ts\": 1760097600, \"remote_addr\": \"192.0.2.1\"\n");
    log.extend(b"192.0.2.1 - - [32/Oct/2025:12:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n");
    log.extend(b"{\"remote_addr\": \"192.0.2.1\"}\n");
    // Bytes that are no text are a client's, and longer ones than may be nobody's.
    log.extend(b"192.0.2.2 - - [10/Oct/2025:12:00:01 +0000] \"GET /\xff\xfe HTTP/1.1\" 404 5\n");
    log.extend(vec![b'x'; 200_000]);
    log.extend(b"\n");
    log.extend(b"192.0.2.3 - - [10/Oct/2025:12:00:01 +0000] \"GET / HTTP/1.1\" ok\n");
    log.extend(b"192.0.2.3 - - [10/Oct/2025:12:00:02 +0000] \"GET /");
    folder.log(log);
    let printed = folder.prints(&["-l", "1/60s", "access.log"]);
    assert_eq!(
        row(&printed, "1/60s sliding_window"),
        Row { requests: 3, refused: 1, subjects_refused: 1, subjects: 2 }
    );
    for said in [
        "malformed lines, left out: 7",
        "line 2: it is in no format that is known",
        "line 5: its JSON cannot be read",
        "line 6: its time cannot be read",
        "line 7: it has no time",
        "line 9: it is longer than 64 KiB",
        "    …",
    ] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
    assert!(!printed.contains("line 10"), "only the first are named: {printed}");
}

#[test]
fn servers_write_their_json_in_many_ways() {
    let folder = Folder::new();
    // All the same client, at the same second or the next.
    let lines = [
        format!(r#"{{"ts": {NOON}.25, "request": {{"remote_ip": "192.0.2.1"}}}}"#),
        format!(r#"{{"msec": "{NOON}.25", "remote_addr": "192.0.2.1"}}"#),
        format!(r#"{{"timestamp": {NOON}250, "client_ip": "192.0.2.1:4711"}}"#),
        r#"{"time": "2025-10-10T12:00:00.5Z", "ip": "::ffff:192.0.2.1"}"#.to_owned(),
        r#"{"@timestamp": "2025-10-10T14:00:00+02:00", "clientip": "192.0.2.1"}"#.to_owned(),
        r#"{"time_local": "10/Oct/2025:12:00:01 +0000", "remote_addr": "192.0.2.1"}"#.to_owned(),
    ];
    folder.log(lines.join("\n"));
    let printed = folder.prints(&["-l", "2/1s,5/60s", "access.log"]);
    assert!(printed.contains("6 requests of 1 clients (JSON lines)"), "{printed}");
    assert!(printed.contains("2025-10-10 12:00:00 UTC to 2025-10-10 12:00:01 UTC"), "{printed}");
    assert_eq!(row(&printed, "5/60s sliding_window").refused, 1);
    assert_eq!(row(&printed, "2/1s sliding_window").refused, 3);
}

#[test]
fn other_keys_than_the_address() {
    let folder = Folder::new();
    let line = |user: &str, path: &str| {
        format!(
            "192.0.2.1 - {user} [10/Oct/2025:12:00:00 +0000] \"GET {path} HTTP/1.1\" 200 5 \"-\" \"curl\"\n"
        )
    };
    folder.log(
        [line("ann", "/a?x=1"), line("ann", "/a?x=2"), line("-", "/b"), line("bob", "/a")].concat(),
    );
    let refused = |key: &str| {
        let printed = folder.prints(&["-l", "1/60s", "--key", key, "access.log"]);
        let Row { requests, refused, subjects, .. } = row(&printed, "1/60s sliding_window");
        let left_out = printed.contains(&format!("requests without the key {key}, left out: 1"));
        (requests, refused, subjects, left_out)
    };
    assert_eq!(refused("ip"), (4, 3, 1, false));
    assert_eq!(refused("user"), (3, 1, 2, true));
    assert_eq!(refused("path"), (4, 2, 2, false));
    assert_eq!(refused("agent"), (4, 3, 1, false));
    assert_eq!(refused("global"), (4, 3, 1, false));

    folder.log(
        "{\"ts\": 1, \"tenant\": {\"id\": 7}}\n{\"ts\": 1, \"tenant\": {\"id\": 7}}\n{\"ts\": 1}\n",
    );
    assert_eq!(refused("tenant.id"), (2, 1, 1, true));
}

#[test]
fn lines_a_little_out_of_order_are_put_in_order() {
    let folder = Folder::new();
    // Two within any minute, as they came; as they were written, time goes back.
    let seconds = [30, 0, 61, 90, 121, 91 + 60];
    let mut log: String = seconds.iter().map(|second| common(*second, "192.0.2.1")).collect();
    folder.log(&log);
    let printed = folder.prints(&["-l", "2/60s", "access.log"]);
    assert_eq!(row(&printed, "2/60s sliding_window").refused, 0, "{printed}");

    // One that is very late is left out, and said to be.
    log.extend((0..5_000).map(|_| common(160, "192.0.2.2")));
    log.push_str(&common(0, "192.0.2.1"));
    folder.log(&log);
    let printed = folder.prints(&["-l", "2/60s", "access.log"]);
    assert!(printed.contains("lines far behind their time, left out: 1"), "{printed}");
    assert_eq!(row(&printed, "2/60s sliding_window").refused, 4_998);
}

/// More come at once than there is room for, and that is said.
#[test]
fn a_full_memory_is_told_of() {
    let folder = Folder::new();
    let address = |number: usize| format!("10.0.{}.{}", number / 256, number % 256);
    let log: String = (0..20_000).map(|number| common(0, &address(number % 10_000))).collect();
    folder.log(log);
    let printed = folder.prints(&["--memory", "1", "-l", "1/60s,100/60s", "access.log"]);
    assert!(printed.contains("The 1 MiB were full"), "{printed}");
    assert!(printed.contains("  100/60s sliding_window             evicted "), "{printed}");
    // Whoever is at their limit is never let go, and the rest share a counter.
    let full = row(&printed, "1/60s sliding_window");
    assert!(full.refused >= 10_000, "{printed}");
    // More of them than are counted by name, and more clients than are counted one by one.
    assert!(printed.contains("  1/60s sliding_window (each at least; at most "), "{printed}");
    assert!(printed.contains("of about "), "{printed}");
    assert!((9_000..11_000).contains(&full.subjects), "{printed}");
    assert!(full.subjects_refused <= full.subjects, "{printed}");
    let printed = folder.prints(&["--memory", "64", "-l", "1/60s", "access.log"]);
    assert!(!printed.contains("full"), "{printed}");
    assert_eq!(row(&printed, "1/60s sliding_window").refused, 10_000);
}

/// Many who take little are no more than few who could take much.
#[test]
fn there_is_room_for_as_many_as_really_take_it() {
    let folder = Folder::new();
    let once = (0..12_000).map(|n| common(n / 300, &format!("10.1.{}.{}", n / 250, n % 250)));
    let often = (0..15).map(|_| common(40, "192.0.2.1"));
    folder.log(once.chain(often).collect::<String>());
    let printed = folder.prints(&["--memory", "32", "access.log"]);
    assert!(!printed.contains("full"), "{printed}");
    for (limit, refused) in [("10/60s", 5), ("1000/60s", 0)] {
        assert_eq!(row(&printed, &format!("{limit} sliding_window")).refused, refused);
    }
}

/// Counters grow as their subjects are admitted, and not beyond what they may take. Whoever was let
/// go for that is told of.
#[test]
fn counters_that_grow_stay_within_the_memory() {
    const FIRST: usize = 900;
    let limits = (FIRST..FIRST + 10).map(|limit| format!("{limit}/60s")).collect::<Vec<_>>();
    let folder = Folder::new();
    // 1,000 each, all at times of their own.
    let line = |n: u32, client: u32| {
        let (second, micros) = (NOON + u64::from(n / 20), n % 20 * 50_000 + client);
        format!("{{\"ts\":{second}.{micros:06},\"ip\":\"10.1.1.{client}\"}}\n")
    };
    let log: String =
        (0..1_000).flat_map(|n| (0..100).map(move |client| line(n, client))).collect();
    // The most that it had resident, in KiB, when it had read almost all; and what it printed.
    let run = |log: &str, memory: &str| {
        let mut child = folder
            .command(&["-l", &limits.join(","), "--memory", memory, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(log.as_bytes()).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let peak = status.ok().and_then(|status| {
            let (_, peak) = status.split_once("VmHWM:")?;
            peak.trim_start().split(' ').next()?.parse::<u64>().ok()
        });
        let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        (peak, printed)
    };

    let (unbounded, printed) = run(&log, "64");
    assert!(!printed.contains("full"), "{printed}");
    assert_eq!(row(&printed, "900/60s sliding_window").refused, 100 * 100, "{printed}");
    let (bounded, printed) = run(&log, "1");
    assert!(printed.contains("The 1 MiB were full"), "{printed}");
    for (limit, admitted) in limits.iter().zip(FIRST..) {
        let told = printed.lines().find(|line| {
            line.starts_with(&format!("  {limit} sliding_window ")) && line.contains(" evicted ")
        });
        // Who was let go was counted anew.
        let refused = row(&printed, &format!("{limit} sliding_window")).refused;
        let all = 100 * (1_000 - admitted);
        assert!(refused <= all, "{limit}: {printed}");
        assert_eq!(refused < all, told.is_some(), "{limit}: {printed}");
    }

    // Enough for a pipe not to hold it, and hardly any counters.
    let alone: String = (0..10_000).map(|n| line(n, 1)).collect();
    let (without, _) = run(&alone, "1");
    // Where nothing tells of what a process has resident, what it prints is all that is tested.
    if let (Some(unbounded), Some(bounded), Some(without)) = (unbounded, bounded, without) {
        // An allocator does not give back all that it could.
        assert!(bounded < without + 5 * 512, "1 MiB take {} KiB", bounded - without);
        assert!(unbounded > without + 3 * 1024, "the log is too small to show anything");
    }
}

/// What one subject takes does not grow with its requests, however long it is.
#[test]
fn a_long_subject_takes_its_room_once() {
    let folder = Folder::new();
    let long = "x".repeat(100);
    folder.log((0..30_000).map(|n| common(n / 500, &long)).collect::<String>());
    let printed = folder.prints(&["--memory", "1", "-l", "100000/60s", "access.log"]);
    assert!(!printed.contains("full"), "{printed}");
    assert_eq!(row(&printed, "100000/60s sliding_window").refused, 0, "{printed}");
}

#[test]
fn an_empty_log_and_one_from_standard_input() {
    let folder = Folder::new();
    folder.log("");
    for (log, arguments, printed, reason) in [
        ("", &[][..], "access.log: no requests to replay\n", "the log has no requests"),
        ("nothing\n", &[], "malformed lines, left out: 1", "no line could be read"),
        (&common(0, "-"), &[], "without the key ip, left out: 1", "no request has the key"),
        (&common(0, "192.0.2.1"), &["-k", "user"], "without the key user", "name another by --key"),
    ] {
        folder.log(log);
        let output = folder.run(&[arguments, &["access.log"]].concat());
        assert_eq!(output.status.code(), Some(1), "{log}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(printed), "{log}: {text}");
        assert!(
            said(&output).contains(&format!("nothing to replay: {reason}"))
                || said(&output).contains(reason),
            "{log}: {}",
            said(&output)
        );
        assert!(!folder.0.join("plan.svg").exists());
    }

    let mut child = folder
        .command(&["-l", "1/60s", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all([common(0, "192.0.2.1"), common(1, "192.0.2.1")].concat().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(row(&printed, "1/60s sliding_window").refused, 1, "{printed}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = Folder::new();
    folder.log("");
    for (arguments, code, expected) in [
        (&["missing.log"][..], 1, "cannot read missing.log: No such file"),
        (&["."], 1, "cannot read .: Is a directory"),
        (&[], 2, "which LOG?"),
        (&["a.log", "b.log"], 2, "unexpected argument \"b.log\""),
        (&["--limits", "1/1s", "access.log"], 2, "invalid option '--limits'"),
        (
            &["-l", "100", "access.log"],
            2,
            "`100` is no limit: it has no `/`; write requests/period: 100/60s",
        ),
        (&["-l", "many/60s", "access.log"], 2, "`many` is no number"),
        (&["-l", "0/60s", "access.log"], 2, "`0/60s` is no limit"),
        (&["-l", "10/fortnight", "access.log"], 2, "`fortnight` is no period"),
        (
            &["-a", "magic", "access.log"],
            2,
            "no algorithm is called `magic`; there are sliding_window,",
        ),
        (&["--memory", "0", "access.log"], 2, "--memory takes a number of MiB, at least 1"),
        (&["--memory", "much", "access.log"], 2, "much"),
        (&["--zone", "CET", "access.log"], 2, "`CET` is no offset of a time zone: write +02:00"),
        (&["--trusted-proxies", "ten", "access.log"], 2, "ten"),
        (
            &["--key", "request.headers.X-Forwarded-For", "access.log"],
            2,
            "name your proxies by --trusted-proxies and the field by --forwarded",
        ),
        (&["--clients", "5", "access.log"], 2, "--clients is for --sample"),
        (&["--sample", "5", "access.log"], 2, "leave out LOG"),
        (&["--sample", "5", "--clients", "0"], 2, "--clients takes a number from 1 to 16777216"),
        (&["--sample", "5", "--format", "xml"], 2, "there are common, combined and json"),
    ] {
        let output = folder.run(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(folder.prints(&["--help"]).starts_with("Replays an access log"));
}

/// Each client of a sample is there, if the lines suffice.
#[test]
fn a_sample_has_as_many_clients_as_asked_for() {
    let folder = Folder::new();
    for (clients, expected) in [("1", 1), ("999", 999), ("2000", 2000), ("16777216", 2000)] {
        let log = folder.prints(&["--sample", "2000", "--clients", clients, "--seed", "7"]);
        let distinct: std::collections::HashSet<&str> =
            log.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!((log.lines().count(), distinct.len()), (2000, expected));
    }
}
