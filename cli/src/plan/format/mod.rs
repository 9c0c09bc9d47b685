//! The formats in which servers write, a module each.

mod common;
mod envoy;
mod haproxy;
mod json;
mod load_balancer;
mod quoted;
mod squid;
mod traefik;
mod vhost;
mod w3c;

use super::entry::Entry;
use super::instant::Clock;

use self::w3c::Columns;

/// A format, by which lines are read.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    read: for<'a> fn(&'a str, &mut Context) -> Read<'a>,
}

impl Format {
    pub(crate) fn read<'a>(&self, line: &'a str, context: &mut Context) -> Read<'a> {
        (self.read)(line, context)
    }
}

/// The things that earlier lines say of a line.
pub(crate) struct Context {
    pub(crate) clock: Clock,
    columns: Columns,
}

impl Context {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, columns: Columns::default() }
    }
}

/// The request of a line; `None` if the line is of the format, and says something else.
type Read<'a> = Result<Option<Entry<'a>>, Mismatch>;

/// A reason why a format cannot read a line.
pub(crate) enum Mismatch {
    /// It is of another one.
    Other,
    /// It is of this one, but there is something wrong with it.
    Broken(&'static str),
}

/// A time that is none.
const BAD_TIME: Mismatch = Mismatch::Broken("its time cannot be read");

/// All formats. Of those that can read a line, the first is meant.
pub(crate) const FORMATS: [Format; 12] = [
    Format { name: "Traefik's JSON", read: traefik::json },
    Format { name: "JSON lines", read: json::read },
    Format { name: "W3C extended", read: w3c::read },
    Format { name: "AWS Application Load Balancer", read: load_balancer::application },
    Format { name: "AWS Classic Load Balancer", read: load_balancer::classic },
    Format { name: "Envoy", read: envoy::read },
    Format { name: "HAProxy", read: haproxy::read },
    Format { name: "Squid", read: squid::read },
    Format { name: "Traefik", read: traefik::common },
    Format { name: "vhost_combined", read: vhost::read },
    Format { name: "combined", read: common::combined },
    Format { name: "common", read: common::read },
];
