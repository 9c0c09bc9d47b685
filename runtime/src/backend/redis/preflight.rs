//! Checks of a server before the first request.

use std::time::Duration;

use super::info::ServerInfo;
use super::node::Node;
use super::{rights, script};
use crate::BackendError;

const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The oldest version of Redis (major, minor) with which the tests were run.
const TESTED: (u32, u32) = (6, 2);

/// Connects, loads the script, and warns about settings by which the server may lose limits.
pub(super) async fn check(node: &Node) -> Result<(), BackendError> {
    let loaded = node.query(&script::load(), REPLY_TIMEOUT).await;
    loaded.map_err(|error| rights::with_right(node, error))?;
    // If the user may not use `INFO`, there are no warnings.
    if let Ok(reply) = node.query(&redis::cmd("INFO"), REPLY_TIMEOUT).await
        && let Some(info) = ServerInfo::from_reply(&reply)
    {
        for warning in warnings(&info) {
            tracing::warn!("{warning}");
        }
    }
    Ok(())
}

/// Returns the warnings that an operator should see about the settings of a server.
fn warnings(info: &ServerInfo) -> Vec<String> {
    let mut warnings = Vec::new();
    let policy = info.get("maxmemory_policy").unwrap_or("noeviction");
    let bounded = info.get("maxmemory").is_some_and(|bytes| bytes != "0");
    if bounded && !matches!(policy, "noeviction" | "volatile-ttl") {
        warnings.push(format!(
            "Redis may forget limits when its memory is full: its maxmemory-policy is {policy}. \
             Set noeviction, or volatile-ttl, which drops first what would expire first anyway"
        ));
    }
    if info.get("role") == Some("slave") {
        warnings.push(
            "this Redis is a replica: it refuses to count. Name its master, or sentinels"
                .to_owned(),
        );
    }
    let version = info.get("redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if (major, minor) < TESTED {
        warnings.push(format!(
            "Redis {version} is older than what Tollgate is tested with, {}.{}",
            TESTED.0, TESTED.1
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn warnings(info: &str) -> Vec<String> {
        super::warnings(&ServerInfo::from_reply(&Value::SimpleString(info.to_owned())).unwrap())
    }

    #[test]
    fn only_risky_settings_are_warned_about() {
        let fine = "redis_version:7.0.15\r\nrole:master\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        assert_eq!(warnings(fine), Vec::<String>::new());
        let fine = "redis_version:8.2.1\r\nmaxmemory:100\r\nmaxmemory_policy:volatile-ttl\r\n";
        assert_eq!(warnings(fine), Vec::<String>::new());
        let bad = "redis_version:6.0.5\r\nrole:slave\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n";
        let warnings = warnings(bad);
        for (warning, part) in warnings.iter().zip(["allkeys-lru", "replica", "6.0.5"]) {
            assert!(warning.contains(part), "{warning}");
        }
        assert_eq!(warnings.len(), 3);
    }
}
