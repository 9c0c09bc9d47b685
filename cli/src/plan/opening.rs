//! The first lines of a log: by them its format is recognised, and told before anything is replayed.

use std::fmt::Write as _;

use super::args::Plan;
use super::entry::Entry;
use super::format::{Context, FORMATS};
use super::instant::Clock;
use super::log::{Log, OwnedLine};
use super::reader::{Reader, path};
use super::table::{instant, shown, zone};

/// The number of lines that are looked at.
const LINES: usize = 32;

/// The first lines, and what is said of them.
pub(crate) struct Opening {
    pub(crate) lines: Vec<OwnedLine>,
    pub(crate) said: String,
}

impl Opening {
    /// Reads the first lines, and tells `reader` of their format.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub(crate) fn read(log: &mut Log, reader: &mut Reader, plan: &Plan) -> Result<Self, String> {
        let mut lines = Vec::new();
        while lines.len() < LINES
            && let Some(line) = log.next()?
        {
            lines.push(line.to_owned());
        }
        let said = recognise(&lines, reader, plan);
        Ok(Self { lines, said })
    }
}

fn recognise(lines: &[OwnedLine], reader: &mut Reader, plan: &Plan) -> String {
    let texts = || lines.iter().filter_map(|line| line.text.as_deref().ok());
    let read = |place: usize| {
        let format = &FORMATS[place];
        let mut context = Context::new(Clock::new(plan.zone));
        texts().filter(|line| format.read(line, &mut context).is_ok()).count()
    };
    // Of several, the first is meant.
    let (place, read) = (0..FORMATS.len())
        .map(|place| (place, read(place)))
        .fold((0, 0), |best, other| if other.1 > best.1 { other } else { best });
    let name = plan.log.display();
    if lines.is_empty() {
        return String::new();
    }
    if read == 0 {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        return format!(
            "{name}: its first lines are in no format that is known: {}",
            names.join(", ")
        );
    }
    reader.recognised = place;
    let mut said =
        format!("{name}: {}, by {read} of its first {} lines", FORMATS[place].name, lines.len());
    // The reader itself begins with the first line once more.
    let mut context = Context::new(Clock::new(plan.zone));
    let first = texts().find_map(|line| FORMATS[place].read(line, &mut context).ok().flatten());
    if let Some(first) = first {
        // `write!` to a string does not fail.
        let _ = write!(said, "\n  its first request: {}", described(&first, reader));
        if !first.time.has_zone {
            let _ = write!(
                said,
                "\n  its times have no zone and are read as {}: --zone +02:00 says another",
                zone(plan.zone)
            );
        }
        if let Some(advice) = advice(&first, reader, plan) {
            let _ = write!(said, "\n  {advice}");
        }
    }
    said
}

fn described(entry: &Entry<'_>, reader: &Reader) -> String {
    let mut said = match &entry.peer {
        Some(peer) => format!("peer {}", shown(peer)),
        None => "no peer".to_owned(),
    };
    let more = [
        ("at", Some(instant(entry.time.micros))),
        ("forwarded for", reader.rules.forwarded(entry).map(|text| shown(&text))),
        ("user", entry.user.as_deref().map(shown)),
        ("path", entry.target.as_deref().map(path).map(shown)),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            let _ = write!(said, ", {name} {value}");
        }
    }
    said
}

/// Says what the user may want to know of the addresses.
fn advice(first: &Entry<'_>, reader: &Reader, plan: &Plan) -> Option<String> {
    if plan.key != super::key::Key::Ip {
        return None;
    }
    let forwarded = reader.rules.forwarded(first);
    match (&first.peer, plan.trusted_proxies.is_empty()) {
        (None, true) => Some(
            "it names no peer, so the last address that was forwarded is the client; if that is a \
             proxy's, name it by --trusted-proxies"
                .to_owned(),
        ),
        (Some(_), true) if forwarded.is_some() => Some(
            "the peer is taken for the client; if it is your proxy, name it by --trusted-proxies"
                .to_owned(),
        ),
        (Some(_), false) if forwarded.is_none() => Some(
            "it has no addresses that proxies passed on, so every peer is taken for the client: \
             --fields or --forwarded says which field has them"
                .to_owned(),
        ),
        _ => None,
    }
}
