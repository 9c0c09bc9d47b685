//! Failures of a request, classified by the possible reactions to them.

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use crate::BackendError;

/// The reason why a request got no answer.
#[derive(Clone, Debug)]
pub(super) enum RequestError {
    /// Not executed: the server does not have the script, which has to be sent first.
    NoScript,
    /// Not executed: the slot is now served by the node at this address.
    Moved(String),
    /// Not executed: the slot is being moved, and the node at this address already has the key.
    Ask(String),
    /// Not executed: some keys of the slot have been moved and others have not.
    TryAgain,
    /// Not executed: there is no connection.
    Unconnected(String),
    /// Not executed: the server cannot execute the request now, but may soon.
    Busy(String),
    /// Not executed: this server cannot execute the request, but another one can.
    WrongServer(String),
    /// Not executed, and sending the request again would not help.
    Permanent(String),
    /// Not executed, and sending the request again would not help. Other requests are not affected:
    /// either the request itself is at fault, or the queue was full.
    Rejected(String),
    /// Perhaps executed: the request was sent, and its result is not known.
    Unknown(String),
}

/// Error codes of failures that sending the request again does not change.
const PERMANENT: [&str; 4] = ["NOPERM", "NOAUTH", "WRONGPASS", "MISCONF"];
/// Error codes of failures that concern a single key. The last one is raised by our own script.
const REJECTED: [&str; 3] = ["WRONGTYPE", "CROSSSLOT", "TOLLGATE"];

impl RequestError {
    /// Classifies an error with which the server answered.
    pub(super) fn from_server(error: &ServerError) -> Self {
        let detail = error.details().unwrap_or_default();
        let target = || detail.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned();
        match error.kind() {
            Some(ServerErrorKind::Moved) => Self::Moved(target()),
            Some(ServerErrorKind::Ask) => Self::Ask(target()),
            _ => Self::from_text(&format!("{} {detail}", error.code())),
        }
    }

    /// Classifies the text of an error: the error line of the Redis protocol after its `-`, or the
    /// message of an error that the script has caught.
    pub(super) fn from_text(text: &str) -> Self {
        let owned = || text.to_owned();
        let has = |code: &str| text.split([' ', ':', '-']).any(|word| word == code);
        if has("NOSCRIPT") {
            Self::NoScript
        } else if has("TRYAGAIN") {
            Self::TryAgain
        } else if has("CLUSTERDOWN") || has("READONLY") || has("MASTERDOWN") {
            Self::WrongServer(owned())
        } else if has("LOADING") || has("BUSY") || has("OOM") || has("NOREPLICAS") {
            Self::Busy(owned())
        } else if PERMANENT.iter().any(|code| has(code)) {
            Self::Permanent(owned())
        } else if REJECTED.iter().any(|code| has(code)) {
            Self::Rejected(owned())
        } else {
            Self::Unknown(owned())
        }
    }

    /// Classifies an error of the driver that occurred after something may have been sent.
    pub(super) fn from_driver(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => match server_error(error) {
                Some(error) => Self::from_server(&error),
                None => Self::Unknown(error.to_string()),
            },
            _ => Self::Unknown(error.to_string()),
        }
    }

    /// Returns `true` if the request certainly had no effect and may be sent again.
    pub(super) fn is_retryable(&self) -> bool {
        !matches!(self, Self::Permanent(_) | Self::Rejected(_) | Self::Unknown(_))
    }

    pub(super) fn into_error(self) -> BackendError {
        match self {
            Self::Unknown(text) => BackendError::unknown(text),
            Self::Rejected(text) => BackendError::rejected(text),
            Self::Unconnected(text)
            | Self::Busy(text)
            | Self::WrongServer(text)
            | Self::Permanent(text) => BackendError::not_executed(text),
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
    use super::RequestError;

    #[test]
    fn errors_are_classified_by_their_code() {
        let is_retryable = |text: &str| RequestError::from_text(text).is_retryable();
        for text in [
            "NOSCRIPT No matching script. Please use EVAL.",
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "CLUSTERDOWN Hash slot not served",
            "MASTERDOWN Link with MASTER is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "BUSY Redis is busy running a script.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            // The text of this error when a script on an older server catches it.
            "@user_script: 580: -READONLY You can't write against a read only replica.",
        ] {
            assert!(is_retryable(text), "{text}");
        }
        for text in [
            "ERR something else",
            "NOPERM this user has no permissions",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "TOLLGATE the key holds state of a format",
            "MISCONF Redis is configured to save RDB snapshots",
        ] {
            assert!(!is_retryable(text), "{text}");
        }
        assert!(matches!(RequestError::from_text("ERR what"), RequestError::Unknown(_)));
        assert!(matches!(RequestError::from_text("NOPERM what"), RequestError::Permanent(_)));
        assert!(matches!(RequestError::from_text("WRONGTYPE what"), RequestError::Rejected(_)));
    }
}
