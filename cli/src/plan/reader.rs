//! Reads the lines of a log: when each request was, and whose.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::args::Plan;
use super::client::Clients;
use super::entry::Entry;
use super::format::{Context, FORMATS, Mismatch};
use super::instant::{Clock, Instant};
use super::key::Key;

/// A longer subject is told from others by a hash, so that it cannot fill the memory.
const LONGEST_SUBJECT: usize = 128;

/// The fields in which servers write the header by which proxies name clients.
const FORWARDED: [&str; 7] = [
    "x_forwarded_for",
    "http_x_forwarded_for",
    "X-Forwarded-For",
    "cs(X-Forwarded-For)",
    "request.headers.X-Forwarded-For",
    "request_X-Forwarded-For",
    "request_headers.x-forwarded-for",
];

/// The time and the subject of one line.
pub(crate) struct Line<'a> {
    pub(crate) time: Instant,
    /// `None` if the line does not say whose request it is.
    pub(crate) subject: Option<Cow<'a, str>>,
    pub(crate) format: &'static str,
}

/// Reads lines, those of the format that was recognised first.
pub(crate) struct Reader {
    pub(super) rules: Rules,
    pub(super) context: Context,
    /// The format's place among all.
    pub(super) recognised: usize,
}

/// The rules by which a request is turned into a subject.
pub(crate) struct Rules {
    key: Key,
    /// The names of fields that have none in the log.
    pub(super) names: Option<Vec<String>>,
    /// The field that names clients.
    forwarded: Option<String>,
    clients: Clients,
}

impl Reader {
    /// # Errors
    ///
    /// If a trusted proxy is none.
    pub(crate) fn new(plan: &Plan) -> Result<Self, String> {
        let rules = Rules {
            key: plan.key.clone(),
            names: plan.fields.clone(),
            forwarded: plan.forwarded.clone(),
            clients: Clients::new(&plan.trusted_proxies)?,
        };
        Ok(Self { rules, context: Context::new(Clock::new(plan.zone)), recognised: 0 })
    }

    /// Returns `None` if the line says something else than a request.
    ///
    /// # Errors
    ///
    /// A text that says why it is no line of an access log.
    pub(crate) fn read<'a>(&mut self, line: &'a str) -> Result<Option<Line<'a>>, &'static str> {
        let found = self.entry(line)?;
        Ok(found.map(|(entry, format)| {
            let subject =
                self.rules.subject(&entry).map(|subject| Cow::Owned(subject.into_owned()));
            Line { time: entry.time, subject, format }
        }))
    }

    /// Returns a line's request, and the name of its format.
    pub(super) fn entry<'a>(
        &mut self,
        line: &'a str,
    ) -> Result<Option<(Entry<'a>, &'static str)>, &'static str> {
        let mut why = None;
        let others = (0..FORMATS.len()).filter(|place| *place != self.recognised);
        for place in std::iter::once(self.recognised).chain(others) {
            let format = &FORMATS[place];
            match format.read(line, &mut self.context) {
                Ok(entry) => return Ok(entry.map(|entry| (entry, format.name))),
                Err(Mismatch::Other) => {}
                Err(Mismatch::Broken(reason)) => why = why.or(Some(reason)),
            }
        }
        Err(why.unwrap_or("it is in no format that is known"))
    }
}

impl Rules {
    /// Returns whose request it is.
    pub(super) fn subject<'a>(&self, entry: &'a Entry<'_>) -> Option<Cow<'a, str>> {
        let text = |text: &'a Option<Cow<'_, str>>| text.as_deref().map(Cow::Borrowed);
        let subject = match &self.key {
            Key::Ip => {
                let forwarded = self.forwarded(entry);
                self.clients.subject(entry.peer.as_deref(), forwarded.as_deref())
            }
            Key::User => text(&entry.user),
            Key::Path => entry.target.as_deref().map(|target| Cow::Borrowed(path(target))),
            Key::Agent => match &self.names {
                // The agent is no longer where it mostly is.
                Some(names) if names.iter().any(|name| name == "agent") => {
                    entry.field("agent", Some(names))
                }
                _ => text(&entry.agent),
            },
            Key::Global => Some(Cow::Borrowed("all")),
            Key::Field(name) => entry.field(name, self.names.as_deref()),
        };
        subject.and_then(bounded)
    }

    /// Returns the addresses that proxies passed on.
    pub(super) fn forwarded<'a>(&self, entry: &'a Entry<'_>) -> Option<Cow<'a, str>> {
        let field = |name: &str| entry.field(name, self.names.as_deref());
        match &self.forwarded {
            Some(name) => field(name),
            None => FORWARDED.iter().find_map(|name| field(name)),
        }
    }
}

pub(super) fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

fn bounded(subject: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if subject.is_empty() || subject == "-" {
        return None;
    }
    if subject.len() <= LONGEST_SUBJECT {
        return Some(subject);
    }
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    let shown: String = subject.chars().take(LONGEST_SUBJECT / 4).collect();
    Some(Cow::Owned(format!("{shown}…{:016x}", hasher.finish())))
}
