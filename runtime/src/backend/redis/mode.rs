//! The mode in which a server runs: alone, as a node of a cluster, or as a sentinel.

use std::time::Duration;

use redis::Value;

use super::node::Node;
use crate::BackendError;

const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns `true` if a server is a node of a cluster.
///
/// The server is asked by `HELLO`, which every user that can connect may use, unlike `INFO`.
///
/// # Errors
///
/// If the server does not answer, or is a sentinel.
pub(super) async fn is_in_cluster(node: &Node) -> Result<bool, BackendError> {
    let reply = node.query(redis::cmd("HELLO").arg(3), REPLY_TIMEOUT).await?;
    let address = address(node);
    match mode(&reply) {
        Some("sentinel") => Err(BackendError::not_executed(format!(
            "{address} is a sentinel, but the URL names it as a server: add the name of the master, \
             as in `redis://{address}?sentinel_master=mymaster`"
        ))
        .lasting()),
        mode => Ok(mode == Some("cluster")),
    }
}

/// Returns an error if the server that is to be used as a single one is a node of a cluster, or a
/// sentinel. It could serve some keys or none, and waiting would not change that.
pub(super) async fn check_is_single(node: &Node) -> Result<(), BackendError> {
    if !is_in_cluster(node).await? {
        return Ok(());
    }
    Err(BackendError::not_executed(named_as_single(node)).lasting())
}

/// Returns the text that a node of a cluster is named as a single server, and its remedy.
pub(super) fn named_as_single(node: &Node) -> String {
    let address = address(node);
    format!(
        "{address} is a node of a cluster, but the URL names it as a single server: write \
         `cluster=true`, as in `redis://{address}?cluster=true`, or name several nodes, as in \
         `redis://a:6379,b:6379`"
    )
}

/// Returns the address as it could stand in a URL. A socket has none.
fn address(node: &Node) -> String {
    let address = node.connection.address();
    let address = address.filter(|address| !address.starts_with('/'));
    address.unwrap_or_else(|| "host:6379".to_owned())
}

/// Returns the mode in a reply to `HELLO`; `None` if the reply does not contain it.
fn mode(reply: &Value) -> Option<&str> {
    let Value::Map(fields) = reply else { return None };
    let (_, mode) = fields.iter().find(|(name, _)| text(name) == Some("mode"))?;
    text(mode)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
