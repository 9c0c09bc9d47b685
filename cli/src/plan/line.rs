//! One line of an access log: when it was, and whose request.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// As in `10/Oct/2025:13:55:36 +0000`.
pub(crate) const LOG_TIME: StaticFormatDescription = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// Where servers that log JSON write these, nested as in `request.remote_ip`.
const TIMES: [&str; 8] =
    ["time", "timestamp", "@timestamp", "ts", "time_iso8601", "time_local", "msec", "date"];
const ADDRESSES: [&str; 9] = [
    "remote_addr",
    "client_ip",
    "remote_ip",
    "clientip",
    "ip",
    "client",
    "request.client_ip",
    "request.remote_ip",
    "httpRequest.remoteIp",
];
const USERS: [&str; 4] = ["remote_user", "user", "user_id", "auth"];
const PATHS: [&str; 4] = ["path", "uri", "request_uri", "request.uri"];
const AGENTS: [&str; 3] = ["http_user_agent", "user_agent", "agent"];

/// A longer subject is told from others by a hash, so that it cannot fill the memory.
const LONGEST_SUBJECT: usize = 128;

/// Whose requests are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Ip,
    User,
    Path,
    Agent,
    Global,
    /// A field of JSON lines.
    Field(String),
}

impl Key {
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "ip" => Self::Ip,
            "user" => Self::User,
            "path" => Self::Path,
            "agent" => Self::Agent,
            "global" => Self::Global,
            field => Self::Field(field.to_owned()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ip => "ip",
            Self::User => "user",
            Self::Path => "path",
            Self::Agent => "agent",
            Self::Global => "global",
            Self::Field(field) => field,
        }
    }

    /// What it tells apart.
    pub(crate) fn plural(&self) -> &'static str {
        match self {
            Self::Ip => "clients",
            Self::User => "users",
            Self::Path => "paths",
            Self::Agent => "agents",
            Self::Global | Self::Field(_) => "subjects",
        }
    }
}

/// What one line says.
pub(crate) struct Line<'a> {
    /// Since the epoch.
    pub(crate) micros: u64,
    /// `None` if the line does not say whose request it is.
    pub(crate) subject: Option<Cow<'a, str>>,
    pub(crate) format: &'static str,
}

/// Reads lines. The times of neighbours are mostly the same, so the last one is remembered.
pub(crate) struct Reader {
    key: Key,
    last_time: (String, u64),
}

impl Reader {
    pub(crate) fn new(key: Key) -> Self {
        Self { key, last_time: (String::new(), 0) }
    }

    /// # Errors
    ///
    /// Why it is no line of an access log.
    pub(crate) fn read<'a>(&mut self, line: &'a str) -> Result<Line<'a>, &'static str> {
        if line.starts_with('{') { self.json(line) } else { self.common(line) }
    }

    /// `host ident user [time] "request" status bytes`, and in the combined format
    /// `"referer" "agent"` behind it.
    fn common<'a>(&mut self, line: &'a str) -> Result<Line<'a>, &'static str> {
        const NEITHER: &str = "neither the common or combined format nor JSON";
        let (host, rest) = line.split_once(' ').ok_or(NEITHER)?;
        let (names, rest) = rest.split_once(" [").ok_or(NEITHER)?;
        let (_, user) = names.split_once(' ').ok_or(NEITHER)?;
        let (time, rest) = rest.split_once("] \"").ok_or(NEITHER)?;
        let (request, rest) = quoted(rest).ok_or("the request has no closing quote")?;
        let status = rest.trim_start().split(' ').next().unwrap_or_default();
        if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("there is no status behind the request");
        }
        // Behind the size, if anything is.
        let agent = rest.split_once('"').and_then(|(_, rest)| {
            let (_referer, rest) = quoted(rest)?;
            Some(quoted(rest.trim_start().strip_prefix('"')?)?.0)
        });

        let micros = self.time(time).ok_or("its time cannot be read")?;
        let subject = match self.key {
            Key::Ip => Some(address(host)),
            Key::User => Some(Cow::Borrowed(user)),
            Key::Path => request.split(' ').nth(1).map(|target| Cow::Borrowed(path(target))),
            Key::Agent => agent.map(Cow::Borrowed),
            Key::Global => Some(Cow::Borrowed("all")),
            Key::Field(_) => None,
        };
        let format = if agent.is_some() { "combined" } else { "common" };
        Ok(Line { micros, subject: subject.and_then(present), format })
    }

    fn json<'a>(&mut self, line: &'a str) -> Result<Line<'a>, &'static str> {
        let line: Value = serde_json::from_str(line).map_err(|_| "its JSON cannot be read")?;
        let time = TIMES.iter().find_map(|name| field(&line, name)).ok_or("it has no time")?;
        let micros = match time {
            Value::String(time) => self.time(time),
            Value::Number(time) => time.as_f64().and_then(from_number),
            _ => None,
        };
        let text = |names: &[&str]| names.iter().find_map(|name| field(&line, name)).and_then(show);
        let subject = match &self.key {
            Key::Ip => text(&ADDRESSES).map(|ip| address(&ip).into_owned()),
            Key::User => text(&USERS),
            Key::Path => text(&PATHS).map(|target| path(&target).to_owned()),
            Key::Agent => text(&AGENTS),
            Key::Global => Some("all".to_owned()),
            Key::Field(name) => text(&[name]),
        };
        Ok(Line {
            micros: micros.ok_or("its time cannot be read")?,
            subject: subject.map(Cow::Owned).and_then(present),
            format: "JSON lines",
        })
    }

    fn time(&mut self, time: &str) -> Option<u64> {
        if self.last_time.0 != time {
            let instant = OffsetDateTime::parse(time, LOG_TIME)
                .or_else(|_| OffsetDateTime::parse(time, &Rfc3339));
            let micros = match instant {
                Ok(instant) => u64::try_from(instant.unix_timestamp_nanos() / 1_000).ok()?,
                // As nginx writes `$msec`.
                Err(_) => from_number(time.parse().ok()?)?,
            };
            self.last_time = (time.to_owned(), micros);
        }
        Some(self.last_time.1)
    }
}

/// What stands before the closing quote, and what behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((&text[..end], &text[end + 1..]))
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

/// As `key = ip` counts: IPv6 by its /64, IPv4 in IPv6 as IPv4. Anything else is a host's name.
fn address(host: &str) -> Cow<'_, str> {
    let address = host.parse().or_else(|_| host.parse().map(|socket: SocketAddr| socket.ip()));
    match address.map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => Cow::Owned(address.to_string()),
        Ok(IpAddr::V6(address)) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            Cow::Owned(format!("{network}/64"))
        }
        Err(_) => Cow::Borrowed(host),
    }
}

fn present(subject: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if subject.is_empty() || subject == "-" {
        return None;
    }
    if subject.len() <= LONGEST_SUBJECT {
        return Some(subject);
    }
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    let shown = &subject[..subject.floor_char_boundary(LONGEST_SUBJECT / 2)];
    Some(Cow::Owned(format!("{shown}…{:016x}", hasher.finish())))
}

/// The field of that name, or else the one that its dots lead to.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get(name).or_else(|| name.split('.').try_fold(line, |value, part| value.get(part)))
}

fn show(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds, milliseconds or microseconds since the epoch: these instants would be thousands of
/// years from now in any smaller unit.
fn from_number(number: f64) -> Option<u64> {
    let scale = match number {
        0.0..1e11 => 1e6,
        1e11..1e14 => 1e3,
        1e14..1e17 => 1.0,
        _ => return None,
    };
    Some((number * scale).round() as u64)
}
