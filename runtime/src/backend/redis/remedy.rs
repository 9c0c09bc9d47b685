//! What to do about failures that waiting cannot heal, for whoever starts a program.

use crate::BackendError;

/// The beginning of the part of an error in which a server repeats the arguments of a command that
/// it does not know. Those of `HELLO` contain the password, and those of `SCRIPT` the script.
const ARGUMENTS: &str = ", with args beginning with:";

/// Parts of the text of a failure, and its remedy. All parts must be in the text.
const REMEDIES: [(&[&str], &str); 11] = [
    (&["unknown command", "HELLO"], NO_RESP3),
    // The driver says this instead of what some servers answer to `HELLO`.
    (&["RESP3NotSupported"], NO_RESP3),
    (&["NOPROTO"], NO_RESP3),
    (&["unknown command", "SCRIPT"], NO_LUA),
    (&["unknown command", "EVALSHA"], NO_LUA),
    (&["Could not find scripting engine"], NO_LUA),
    (
        &["NOAUTH"],
        "it wants a password: write `redis://:password@host`, or `redis://user:password@host`",
    ),
    (&["WRONGPASS"], WRONG_PASSWORD),
    (&["authentication failed"], WRONG_PASSWORD),
    (
        &["DB index is out of range"],
        "it has no database of this number: leave the number out, or raise the server's `databases`",
    ),
    (
        &["cluster mode"],
        "it is a node of a cluster, which has only database 0: leave the number out, and add \
         `cluster=true` to the URL",
    ),
];
const NO_RESP3: &str = "it does not speak RESP3, which Redis has from version 6 on, and which some \
                        proxies and imitations lack: name a server that does";
const WRONG_PASSWORD: &str = "the user or the password is wrong; in a URL their special characters \
                              are percent-encoded, so `%` is written `%25`";
const NO_LUA: &str = "it runs no Lua scripts, by which limits are decided: enable them, in Valkey by \
                      loading its module `lua`";

/// Parts of the texts of other failures that last: of a command that is missing, also in a script, of
/// a right that is, and of a certificate that the other side refuses.
const LASTING: [&str; 5] = [
    "unknown command",
    "Unknown Redis command",
    "Unknown command called",
    "NOPERM",
    "received fatal alert",
];

/// Returns `true` if waiting does not heal a failure with this text, as long as nobody changes the
/// server or the program.
pub(super) fn cannot_heal(reason: &str) -> bool {
    remedy(reason).is_some() || LASTING.iter().any(|part| reason.contains(part))
}

/// Removes the arguments that a server repeats in an error.
pub(super) fn without_arguments(text: &str) -> &str {
    text.split_once(ARGUMENTS).map_or(text, |(before, _)| before)
}

/// Adds the remedy to an error of the start. An error for which there is none stays as it is.
pub(super) fn with_remedy(error: BackendError) -> BackendError {
    let reason = error.reason();
    let reason = without_arguments(&reason);
    match remedy(reason) {
        // A failure that has a remedy was refused before it was executed, and would be again.
        Some(remedy) => {
            let reason = reason.trim_end_matches('.');
            BackendError::not_executed(format!("{reason} ({remedy})")).lasting()
        }
        None => error,
    }
}

fn remedy(reason: &str) -> Option<&'static str> {
    // The failure of sentinels tells already whose password is wanted.
    if reason.contains("`sentinel_password`") {
        return None;
    }
    let is_in = |part: &&str| reason.contains(*part);
    let (_, remedy) = REMEDIES.iter().find(|(parts, _)| parts.iter().all(is_in))?;
    Some(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are those of servers; those that a server can be made to say are also in the tests
    /// with real servers.
    #[test]
    fn what_cannot_heal_has_a_remedy_and_repeats_no_argument() {
        for (text, remedy) in [
            (
                "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'a' 'pw-s'",
                "RESP3",
            ),
            (
                "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `pw-s`, ",
                "RESP3",
            ),
            (
                "Redis Server doesn't support HELLO command therefore resp3 cannot be used - \
                 RESP3NotSupported",
                "RESP3, which",
            ),
            ("\"NOPROTO\": unsupported protocol version", "RESP3"),
            ("ERR unknown command 'SCRIPT', with args beginning with: 'LOAD' 'pw-s", "Lua"),
            ("ERR unknown command 'EVALSHA', with args beginning with: 'ab' '1' 'pw-s'", "Lua"),
            ("ERR Could not find scripting engine 'lua'", "module `lua`"),
            ("NOAUTH Authentication required.", "redis://:password@host"),
            ("\"WRONGPASS\": invalid username-password pair or user is disabled.", "percent-enc"),
            ("Password authentication failed - AuthenticationFailed", "percent-encoded"),
            ("ERR SELECT is not allowed in cluster mode", "`cluster=true`"),
        ] {
            let error = with_remedy(BackendError::unknown(text)).to_string();
            assert!(error.contains(remedy) && error.contains("did not act"), "{error}");
            assert!(!error.contains("pw-s"), "{error}");
        }
        let other = with_remedy(BackendError::unknown("Connection refused")).to_string();
        assert_eq!(other, BackendError::unknown("Connection refused").to_string());
    }
}
