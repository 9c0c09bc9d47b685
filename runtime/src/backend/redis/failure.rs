//! Failures of a request, classified by the possible reactions to them.

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use super::remedy::{cannot_heal, without_arguments};
use crate::BackendError;
use crate::error::Execution;

/// The reason why a request got no answer.
#[derive(Clone, Debug)]
pub(super) enum RequestError {
    /// Not executed: the server does not have the script, which has to be sent first.
    NoScript,
    /// Not executed: the checks before it in its call have caused much work.
    Deferred,
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
    /// Not executed, and sending the request again does not help, because this server serves no
    /// request as it is set up.
    Permanent(String),
    /// Not executed: there is no user and password for a connection. Their source is not asked again
    /// at once, but by later requests.
    NoCredentials(String),
    /// Refused, because the user of the connection lacks a right. The script may have executed the
    /// commands before the one that it may not call.
    Forbidden(Execution, String),
    /// Not executed, and sending the request again would not help. Other requests are not affected:
    /// either the request itself is at fault, or the queue was full.
    Rejected(String),
    /// Perhaps executed: the request was sent, and its result is not known.
    Unknown(String),
}

/// Error codes of failures that sending the request again does not change.
const PERMANENT: [&str; 3] = ["NOAUTH", "WRONGPASS", "MISCONF"];
/// Error codes of failures that concern a single key. The last one is raised by our own script.
const REJECTED: [&str; 3] = ["WRONGTYPE", "CROSSSLOT", "TOLLGATE"];

/// The words with which servers refuse a script's call, without an error code of their own: Redis
/// before 7.2, and Valkey. The words after them tell if the command or its key is not permitted.
const FORBIDDEN_IN_SCRIPT: [&str; 2] =
    ["The user executing the script can't", "ACL failure in script:"];

impl RequestError {
    /// Classifies an error with which the server answered.
    pub(super) fn from_server(error: &ServerError) -> Self {
        let detail = error.details().unwrap_or_default();
        let target = || detail.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned();
        match error.kind() {
            Some(ServerErrorKind::Moved) => Self::Moved(target()),
            Some(ServerErrorKind::Ask) => Self::Ask(target()),
            _ => match Self::from_text(&format!("{} {detail}", error.code())) {
                // The script catches all errors but those before its first check.
                Self::Forbidden(_, text) => Self::Forbidden(Execution::NotExecuted, text),
                Self::Unknown(text) if is_of_script(&text) => Self::Permanent(text),
                other => other,
            },
        }
    }

    /// Classifies the text of an error: the error line of the Redis protocol after its `-`, or the
    /// message of an error that the script has caught.
    pub(super) fn from_text(text: &str) -> Self {
        let text = without_arguments(text);
        let owned = || text.to_owned();
        let has = |code: &str| text.split([' ', ':', '-']).any(|word| word == code);
        let is_refused_in_script = FORBIDDEN_IN_SCRIPT.iter().any(|words| text.contains(words));
        if has("NOPERM") || is_refused_in_script {
            // The server adds the place in the script, `@user_script:LINE`.
            let in_script = is_refused_in_script || text.contains("user_script");
            let execution = if in_script { Execution::Unknown } else { Execution::NotExecuted };
            Self::Forbidden(execution, owned())
        } else if has("NOSCRIPT") {
            Self::NoScript
        } else if has("TRYAGAIN") {
            Self::TryAgain
        } else if has("CLUSTERDOWN") || has("READONLY") || has("MASTERDOWN") {
            Self::WrongServer(owned())
        } else if has("LOADING") || has("BUSY") || has("OOM") || has("NOREPLICAS") {
            Self::Busy(owned())
        } else if PERMANENT.iter().any(|code| has(code)) || cannot_heal(text) {
            Self::Permanent(owned())
        } else if REJECTED.iter().any(|code| has(code)) {
            Self::Rejected(owned())
        } else {
            Self::Unknown(owned())
        }
    }

    /// Classifies the message of an error that the script has caught.
    pub(super) fn from_script(text: &str) -> Self {
        match Self::from_text(text) {
            Self::Forbidden(_, text) => Self::Forbidden(Execution::Unknown, text),
            // An error of the script itself is that of one key.
            Self::Unknown(text) => Self::Rejected(text),
            // The script lacks a command, but may have called others before.
            Self::Permanent(text) if cannot_heal(&text) => Self::Unknown(text),
            other => other,
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
        !matches!(
            self,
            Self::Permanent(_)
                | Self::NoCredentials(_)
                | Self::Rejected(_)
                | Self::Unknown(_)
                | Self::Forbidden(..)
        )
    }

    /// Returns the reason, as it is told to who waits.
    pub(super) fn reason(&self) -> String {
        self.clone().into_error().reason()
    }

    pub(super) fn into_error(self) -> BackendError {
        match self {
            Self::Unknown(text) => BackendError::unknown(text),
            Self::Rejected(text) => BackendError::rejected(text),
            Self::Forbidden(execution, text) => BackendError::forbidden(execution, text),
            Self::Permanent(text) => BackendError::not_executed(text).lasting(),
            Self::Unconnected(text)
            | Self::NoCredentials(text)
            | Self::Busy(text)
            | Self::WrongServer(text) => BackendError::not_executed(text),
            Self::NoScript => BackendError::not_executed("the server keeps forgetting the script"),
            Self::Moved(node) | Self::Ask(node) => {
                BackendError::not_executed(format!("the cluster is moving the key to {node}"))
            }
            Self::TryAgain => BackendError::not_executed("the cluster is moving the key"),
            Self::Deferred => BackendError::not_executed("the checks before it were much work"),
        }
    }
}

/// Returns the reason why there is no answer, followed by that of the last failure before.
pub(super) fn with_last(reason: &str, last: Option<String>) -> String {
    match last {
        Some(last) => format!("{reason}; last: {last}"),
        None => reason.to_owned(),
    }
}

/// Returns `true` if the text is that of an error within a script, or if the script could not begin.
fn is_of_script(text: &str) -> bool {
    text.contains("user_script") || text.contains("Error running script")
}

fn server_error(error: &RedisError) -> Option<ServerError> {
    error.clone().into_server_errors().and_then(|errors| Some(errors.first()?.1.clone()))
}

#[cfg(test)]
mod tests {
    use super::RequestError;
    use crate::error::Execution;

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
            "ERR unknown command 'EVALSHA', with args beginning with: 'ab'",
            "ERR Could not find scripting engine 'lua'",
        ] {
            assert!(!is_retryable(text), "{text}");
        }
        assert!(matches!(RequestError::from_text("ERR what"), RequestError::Unknown(_)));
        assert!(matches!(RequestError::from_text("WRONGTYPE what"), RequestError::Rejected(_)));
    }

    #[test]
    fn a_missing_right_is_told_apart_from_all_other_errors() {
        // The texts of Redis 6.2, 7.0 and 7.2, and of Valkey: for a call, and for a command within
        // the script.
        for (text, execution) in [
            (
                "NOPERM this user has no permissions to run the 'get' command",
                Execution::NotExecuted,
            ),
            (
                "NOPERM User a has no permissions to run the 'script|load' command",
                Execution::NotExecuted,
            ),
            ("NOPERM No permissions to access a key", Execution::NotExecuted),
            (
                "NOPERM User a has no permissions to run the 'get' command script: 62, on @user_script:1.",
                Execution::Unknown,
            ),
            (
                "ERR The user executing the script can't run this command or subcommand",
                Execution::Unknown,
            ),
            (
                "@user_script: 7: The user executing the script can't run this command or subcommand",
                Execution::Unknown,
            ),
            (
                "ERR The user executing the script can't access at least one of the keys",
                Execution::Unknown,
            ),
            (
                "ERR ACL failure in script: User a has no permissions to run the 'get' command",
                Execution::Unknown,
            ),
        ] {
            let failure = RequestError::from_text(text);
            assert!(!failure.is_retryable(), "{text}");
            let error = failure.into_error();
            assert!(error.is_forbidden() && error.is_rejection(), "{text}");
            assert_eq!(error.execution(), execution, "{text}");
            let error = RequestError::from_script(text).into_error();
            assert_eq!(error.execution(), Execution::Unknown, "{text}");
        }
        for text in ["NOAUTH Authentication required.", "WRONGPASS invalid", "MISCONF x", "ERR x"] {
            assert!(!RequestError::from_text(text).into_error().is_forbidden(), "{text}");
        }
    }
}
