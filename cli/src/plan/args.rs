//! What the command line asks for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use time::UtcOffset;
use tollgate::{Algorithm, Quota};

use super::client::Clients;
use super::instant;
use super::key::Key;
use super::sample::{Format, Sample};

pub(crate) const HELP: &str = "\
Replays an access log through limits, to show who would have been refused.

Usage: tollgate plan [OPTIONS] LOG   LOG is `-` for standard input
       tollgate plan --sample LINES [OPTIONS] > access.log

The format of the log is recognised, and said before it is replayed: common, combined,
vhost_combined (Apache, nginx), JSON lines, Traefik, Envoy, HAProxy, Squid, W3C (IIS,
CloudFront), and the load balancers of AWS.

  -l, --limit LIMITS       requests/period, several by commas: 100/60s,500/1h
                           (10, 30, 100, 300 and 1000 a minute)
  -a, --algorithm NAMES    several by commas (sliding_window)
  -k, --key KEY            whose requests are counted: ip, user, path, agent, global, or the
                           name of a field, as in `request.host` (ip)
      --trusted-proxies N  the networks of your proxies, by commas: the client is who they name
      --forwarded FIELD    the field with the addresses that they pass on (x_forwarded_for, by
                           the names that servers give it)
      --fields NAMES       the names of fields that have none in the log, by commas and in their
                           order: those in quotes behind the size, or HAProxy's captured headers
                           (referer,agent,x_forwarded_for)
      --zone OFFSET        the zone of times that have none, as in +02:00 (UTC)
      --top N              how many of the refused to name for each limit (5)
      --memory MIB         the most that counters may take (256)
      --svg FILE           where to draw the plot (plan.svg)

  --sample LINES           writes a made-up log instead of reading one
      --clients N          the clients in it, each there at least once if the lines suffice (1000)
      --format FORMAT      common, combined or json (combined)
      --seed N             another seed, another log (1)
";

/// What to do.
pub(crate) enum Task {
    Help,
    Sample(Sample),
    Plan(Plan),
}

/// A log, and what to replay it through.
pub(crate) struct Plan {
    pub(crate) log: PathBuf,
    pub(crate) limits: Vec<Limit>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) key: Key,
    pub(crate) trusted_proxies: Vec<String>,
    /// The field with the addresses that proxies pass on.
    pub(crate) forwarded: Option<String>,
    /// The names of fields that have none in the log.
    pub(crate) fields: Option<Vec<String>>,
    /// The zone of times that have none.
    pub(crate) zone: UtcOffset,
    pub(crate) top: usize,
    pub(crate) memory_mib: usize,
    pub(crate) svg: PathBuf,
}

/// A quota, as it was written.
#[derive(Clone)]
pub(crate) struct Limit {
    pub(crate) quota: Quota,
    /// As in `60s`.
    pub(crate) period: String,
}

/// Each has its counters, its own list of the refused and its own rows in the output.
const MOST_POLICIES: usize = 64;

/// # Errors
///
/// What is wrong, and what is accepted in its place.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Task, lexopt::Error> {
    let mut log = None;
    let mut lines = None;
    let mut sample = Sample { lines: 0, clients: 1000, format: Format::Combined, seed: 1 };
    let mut sample_only = None;
    let mut plan = Plan {
        log: PathBuf::new(),
        limits: list("10/60s,30/60s,100/60s,300/60s,1000/60s")?,
        algorithms: vec![Algorithm::SlidingWindow],
        key: Key::Ip,
        trusted_proxies: Vec::new(),
        forwarded: None,
        fields: None,
        zone: UtcOffset::UTC,
        top: 5,
        memory_mib: 256,
        svg: PathBuf::from("plan.svg"),
    };

    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            Arg::Short('l') | Arg::Long("limit") => plan.limits = list(&parser.value()?.string()?)?,
            Arg::Short('a') | Arg::Long("algorithm") => {
                let names = parser.value()?.string()?;
                plan.algorithms = names.split(',').map(algorithm).collect::<Result<_, _>>()?;
            }
            Arg::Short('k') | Arg::Long("key") => plan.key = Key::of(&parser.value()?.string()?)?,
            Arg::Long("trusted-proxies") => {
                plan.trusted_proxies = names(&mut parser)?;
                Clients::options(&plan.trusted_proxies)?;
            }
            Arg::Long("forwarded") => plan.forwarded = Some(parser.value()?.string()?),
            Arg::Long("fields") => plan.fields = Some(names(&mut parser)?),
            Arg::Long("zone") => plan.zone = zone(&parser.value()?.string()?)?,
            Arg::Long("top") => plan.top = parser.value()?.parse()?,
            Arg::Long("memory") => plan.memory_mib = parser.value()?.parse()?,
            Arg::Long("svg") => plan.svg = parser.value()?.into(),
            Arg::Long("sample") => lines = Some(parser.value()?.parse()?),
            Arg::Long("clients") => {
                sample.clients = parser.value()?.parse()?;
                sample_only = Some("--clients");
            }
            Arg::Long("format") => {
                sample.format = parser.value()?.parse()?;
                sample_only = Some("--format");
            }
            Arg::Long("seed") => {
                sample.seed = parser.value()?.parse()?;
                sample_only = Some("--seed");
            }
            Arg::Value(path) if log.is_none() => log = Some(PathBuf::from(path)),
            _ => return Err(arg.unexpected()),
        }
    }

    match (lines, log, sample_only) {
        (Some(lines), None, _) => {
            let most = Sample::MOST_CLIENTS;
            if !(1..=most).contains(&sample.clients) {
                return Err(format!("--clients takes a number from 1 to {most}").into());
            }
            Ok(Task::Sample(Sample { lines, ..sample }))
        }
        (Some(_), Some(_), _) => {
            Err("--sample writes a log to standard output and reads none: leave out LOG".into())
        }
        (None, _, Some(option)) => {
            Err(format!("{option} is for --sample, which makes a log").into())
        }
        (None, None, None) => Err("which LOG? Name a file, or `-` for standard input".into()),
        (None, Some(log), None) => {
            let policies = plan.limits.len() * plan.algorithms.len();
            if policies > MOST_POLICIES {
                return Err(format!(
                    "{policies} limits times algorithms are more than {MOST_POLICIES}: try fewer"
                )
                .into());
            }
            if plan.memory_mib == 0 {
                return Err("--memory takes a number of MiB, at least 1".into());
            }
            Ok(Task::Plan(Plan { log, ..plan }))
        }
    }
}

fn names(parser: &mut Parser) -> Result<Vec<String>, lexopt::Error> {
    let names = parser.value()?.string()?;
    Ok(names.split(',').map(|name| name.trim().to_owned()).collect())
}

fn zone(text: &str) -> Result<UtcOffset, String> {
    instant::offset(text)
        .ok_or_else(|| format!("`{text}` is no offset of a time zone: write +02:00, or UTC"))
}

fn list(limits: &str) -> Result<Vec<Limit>, lexopt::Error> {
    Ok(limits.split(',').map(str::parse).collect::<Result<_, String>>()?)
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    name.parse().map_err(|_| {
        let names: Vec<&str> = Algorithm::ALL.iter().map(|known| known.as_str()).collect();
        format!("no algorithm is called `{name}`; there are {}", names.join(", "))
    })
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(limit: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{limit}` is no limit: {why}; write requests/period: 100/60s");
        let (requests, period) = limit.split_once('/').ok_or_else(|| wrong("it has no `/`"))?;
        let requests = requests
            .parse()
            .map_err(|_| wrong(&format!("`{requests}` is no number up to {}", u32::MAX)))?;
        let length = duration(period)
            .ok_or_else(|| wrong(&format!("`{period}` is no period such as 250ms, 60s, 5m, 1h")))?;
        let quota = Quota::try_new(requests, length).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self { quota, period: period.to_owned() })
    }
}

/// `60`, `60s`, `250ms`, `1m`, `2h`, `1d`, or a unit by its name, as the attribute has it.
fn duration(period: &str) -> Option<Duration> {
    let digits = period.find(|c: char| !c.is_ascii_digit()).unwrap_or(period.len());
    let (number, unit) = period.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "" | "s" | "second" => 1_000,
        "m" | "minute" => 60_000,
        "h" | "hour" => 3_600_000,
        "d" | "day" => 86_400_000,
        _ => return None,
    };
    let number: u64 = match number {
        "" if unit.len() > 2 => 1,
        number => number.parse().ok()?,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}
