//! The reply to `INFO`: lines of `name:value`.

use redis::Value;

pub(super) struct ServerInfo(String);

impl ServerInfo {
    /// Converts the reply to `INFO`. Returns `None` if the reply is not text.
    pub(super) fn from_reply(reply: &Value) -> Option<Self> {
        match reply {
            Value::BulkString(bytes) => Some(Self(String::from_utf8_lossy(bytes).into_owned())),
            Value::VerbatimString { text, .. } | Value::SimpleString(text) => {
                Some(Self(text.clone()))
            }
            _ => None,
        }
    }

    /// Returns the value of a field; `None` if the reply does not contain it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_full_name() {
        let text = "# Memory\r\nmaxmemory_human:1K\r\nmaxmemory:1024\r\n";
        let info = ServerInfo::from_reply(&Value::SimpleString(text.to_owned())).unwrap();
        assert_eq!(info.get("maxmemory"), Some("1024"));
        assert_eq!(info.get("max"), None);
        assert!(ServerInfo::from_reply(&Value::Nil).is_none());
    }
}
