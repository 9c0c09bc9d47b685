//! What can become of a check that was sent, and what may be done about it.

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use crate::BackendError;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Not executed; the server does not know the script.
    NoScript,
    /// Not executed: another node serves the slot, from now on.
    Moved(String),
    /// Not executed: another node has this key already.
    Ask(String),
    /// Not executed: some keys of the slot have moved, others have not.
    TryAgain,
    /// Not executed: there is no connection.
    Unconnected(String),
    /// Not executed; the same server may do so soon.
    NotYet(String),
    /// Not executed: it has to be another server.
    Elsewhere(String),
    /// Not executed, and it would not be the next time.
    Never(String),
    /// As [`Never`](Self::Never), but others may be: it is this one's own fault, or it came when
    /// there was no room for it.
    Odd(String),
    /// Perhaps executed.
    Unknown(String),
}

/// With these the server says what it will not do, however often it is asked.
const REFUSED: [&str; 4] = ["NOPERM", "NOAUTH", "WRONGPASS", "MISCONF"];
/// With these, that it cannot do it to this key. The last is our script's own.
const ODD: [&str; 3] = ["WRONGTYPE", "CROSSSLOT", "TOLLGATE"];

impl Failure {
    /// Of an error with which the server answered.
    pub(super) fn of_server(error: &ServerError) -> Self {
        let detail = error.details().unwrap_or_default();
        let target = || detail.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned();
        match error.kind() {
            Some(ServerErrorKind::Moved) => Self::Moved(target()),
            Some(ServerErrorKind::Ask) => Self::Ask(target()),
            _ => Self::of_text(&format!("{} {detail}", error.code())),
        }
    }

    /// Of an error's text, as it stands behind the `-` of the protocol, or as a script caught it.
    pub(super) fn of_text(text: &str) -> Self {
        let owned = || text.to_owned();
        let has = |code: &str| text.split([' ', ':', '-']).any(|word| word == code);
        if has("NOSCRIPT") {
            Self::NoScript
        } else if has("TRYAGAIN") {
            Self::TryAgain
        } else if has("CLUSTERDOWN") || has("READONLY") || has("MASTERDOWN") {
            Self::Elsewhere(owned())
        } else if has("LOADING") || has("BUSY") || has("OOM") || has("NOREPLICAS") {
            Self::NotYet(owned())
        } else if REFUSED.iter().any(|code| has(code)) {
            Self::Never(owned())
        } else if ODD.iter().any(|code| has(code)) {
            Self::Odd(owned())
        } else {
            Self::Unknown(owned())
        }
    }

    /// Of an error of the driver after something may have been written.
    pub(super) fn of_sent(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => match server_error(error) {
                Some(error) => Self::of_server(&error),
                None => Self::Unknown(error.to_string()),
            },
            _ => Self::Unknown(error.to_string()),
        }
    }

    /// Whether the check may be sent again.
    pub(super) fn may_be_resent(&self) -> bool {
        !matches!(self, Self::Never(_) | Self::Odd(_) | Self::Unknown(_))
    }

    pub(super) fn into_error(self) -> BackendError {
        match self {
            Self::Unknown(text) => BackendError::unknown(text),
            Self::Odd(text) => BackendError::rejected(text),
            Self::Unconnected(text)
            | Self::NotYet(text)
            | Self::Elsewhere(text)
            | Self::Never(text) => BackendError::not_executed(text),
            Self::NoScript => BackendError::not_executed("the server keeps forgetting the script"),
            Self::Moved(node) | Self::Ask(node) => {
                BackendError::not_executed(format!("the cluster is moving the key to {node}"))
            }
            Self::TryAgain => BackendError::not_executed("the cluster is moving the key"),
        }
    }
}

fn server_error(error: &RedisError) -> Option<ServerError> {
    error.clone().into_server_errors().and_then(|errors| Some(errors.first()?.1.clone()))
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn errors_are_what_they_are() {
        let resent = |text: &str| Failure::of_text(text).may_be_resent();
        for text in [
            "NOSCRIPT No matching script. Please use EVAL.",
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "CLUSTERDOWN Hash slot not served",
            "MASTERDOWN Link with MASTER is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "BUSY Redis is busy running a script.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            // As a script of an older server catches it.
            "@user_script: 580: -READONLY You can't write against a read only replica.",
        ] {
            assert!(resent(text), "{text}");
        }
        for text in [
            "ERR something else",
            "NOPERM this user has no permissions",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "TOLLGATE the key holds state of a format",
            "MISCONF Redis is configured to save RDB snapshots",
        ] {
            assert!(!resent(text), "{text}");
        }
        assert!(matches!(Failure::of_text("ERR what"), Failure::Unknown(_)));
        assert!(matches!(Failure::of_text("NOPERM what"), Failure::Never(_)));
        assert!(matches!(Failure::of_text("WRONGTYPE what"), Failure::Odd(_)));
    }
}
