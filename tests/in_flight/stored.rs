//! What a Redis has stored of permits: a byte for the version, and an entry for each process.

use redis::Connection;
use support::redis::RedisServer;

/// The bytes of an entry.
const ENTRY: usize = 44;

/// The permits of one process.
pub(crate) struct Entry {
    pub(crate) permits: u32,
    /// The time of its last operation, in microseconds since the Unix epoch.
    pub(crate) renewed: u64,
    /// The length of its lease in microseconds.
    pub(crate) hold: u64,
}

/// Returns the entries of the only key of permits with this prefix.
pub(crate) fn entries_with(connection: &mut Connection, prefix: &str) -> Vec<Entry> {
    let pattern = format!("{prefix}{{*");
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(connection).unwrap();
    let Some(key) = keys.first() else { return Vec::new() };
    let value: Option<Vec<u8>> = redis::cmd("GET").arg(key).query(connection).unwrap();
    let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap()) as u64;
    let entries = value.iter().flat_map(|value| value[1..].chunks(ENTRY));
    let entries = entries.map(|entry| Entry {
        permits: u32::from_le_bytes(entry[16..20].try_into().unwrap()),
        renewed: number(&entry[20..28]),
        hold: number(&entry[28..36]),
    });
    entries.collect()
}

/// Returns the entries of the only key of permits.
pub(crate) fn entries(server: &RedisServer) -> Vec<Entry> {
    entries_with(&mut server.connection(), "*")
}

/// Returns the number of permits of all processes.
pub(crate) fn permits(server: &RedisServer) -> u32 {
    entries(server).iter().map(|entry| entry.permits).sum()
}
