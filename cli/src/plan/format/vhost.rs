//! Apache's `vhost_combined`: the combined format behind the virtual host, with or without a port.

use std::net::IpAddr;

use super::common::{self, NAMES, Parts};
use super::{Context, Mismatch, Read};

/// Returns the client of a line that begins with a virtual host, and what stands between it and the
/// time. In the other formats a name that is no address stands in the client's place.
pub(super) fn client<'a>(parts: &Parts<'a>) -> Option<(&'a str, &'a str)> {
    let (client, names) = parts.names.split_once(' ')?;
    let is_address = client.parse::<IpAddr>().is_ok();
    // A host by its name, if Apache looks names up; then only the port tells who is who.
    let is_name = client.contains('.') && has_port(parts.host) && names.contains(' ');
    (is_address || is_name).then_some((client, names))
}

fn has_port(host: &str) -> bool {
    let port = host.rsplit_once(':').map(|(_, port)| port);
    host.parse::<IpAddr>().is_err() && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

pub(super) fn read<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    let parts = common::parts(line)?;
    let client = client(&parts).ok_or(Mismatch::Other)?;
    common::entry(parts, client, NAMES, context).map(Some)
}
