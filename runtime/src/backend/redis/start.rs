//! What is found out about a server before the first check.

use std::time::Duration;

use redis::Value;

use super::lane::Lane;
use super::script;
use crate::BackendError;

const PATIENCE: Duration = Duration::from_secs(5);

/// The oldest version that the tests were run with.
const TESTED: (u32, u32) = (7, 0);

/// Connects, makes the server know the script, and warns about what would forget limits.
pub(super) async fn check(lane: &Lane) -> Result<(), BackendError> {
    lane.ask(&script::load(), PATIENCE).await?;
    // A user who may not ask is not warned.
    if let Ok(info) = lane.ask(&redis::cmd("INFO"), PATIENCE).await
        && let Some(info) = text(&info)
    {
        for warning in warnings(&info) {
            tracing::warn!("{warning}");
        }
    }
    Ok(())
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// What `INFO` says under a name.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// What `INFO` says that an operator should know.
fn warnings(info: &str) -> Vec<String> {
    let field = |name| field(info, name);
    let mut warnings = Vec::new();
    let policy = field("maxmemory_policy").unwrap_or("noeviction");
    let bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
    if bounded && !matches!(policy, "noeviction" | "volatile-ttl") {
        warnings.push(format!(
            "Redis may forget limits when its memory is full: its maxmemory-policy is {policy}. \
             Set noeviction, or volatile-ttl, which drops first what is nearest to being whole"
        ));
    }
    if field("role") == Some("slave") {
        warnings.push(
            "this Redis is a replica: it refuses to count. Name its master, or sentinels"
                .to_owned(),
        );
    }
    let version = field("redis_version").unwrap_or_default();
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
    use super::warnings;

    #[test]
    fn only_what_matters_is_warned_about() {
        let fine = "redis_version:7.0.15\r\nrole:master\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        assert_eq!(warnings(fine), Vec::<String>::new());
        let kept = "redis_version:8.2.1\r\nmaxmemory:100\r\nmaxmemory_policy:volatile-ttl\r\n";
        assert_eq!(warnings(kept), Vec::<String>::new());
        let bad = "redis_version:6.2.5\r\nrole:slave\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n";
        let told = warnings(bad);
        for (warning, part) in told.iter().zip(["allkeys-lru", "replica", "6.2.5"]) {
            assert!(warning.contains(part), "{warning}");
        }
        assert_eq!(told.len(), 3);
    }
}
