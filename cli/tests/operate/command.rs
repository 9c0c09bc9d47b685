//! The command as a program, and the service beside it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tollgate::{Limiter, LimiterBuilder, LocalTier, RedisBackend};

/// The output of a command.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The objects, a line each.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The command, without what the environment of the tests says.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy().starts_with("TOLLGATE_") || name == "REDIS_URL";
        if ours {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn says(arguments: &[&str]) -> Said {
    Said::of(&command(arguments).output().unwrap())
}

/// Runs a command that reads this.
pub(crate) fn says_to(input: &str, arguments: &[&str]) -> Said {
    let mut command = command(arguments);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Said::of(&child.wait_with_output().unwrap())
}

/// Runs a command on the Redis at `url`, which must succeed.
pub(crate) fn done(url: &str, arguments: &[&str]) -> Said {
    let said = says(&[arguments, &["--redis", url]].concat());
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.error);
    said
}

/// The one object that a command prints.
pub(crate) fn object(url: &str, arguments: &[&str]) -> Value {
    let said = done(url, &[arguments, &["--json"]].concat());
    let [object] = &said.json()[..] else { panic!("{}", said.output) };
    object.clone()
}

/// The limiter of a service that counts there, and has nothing of its own to remember.
pub(crate) fn service(url: &str) -> LimiterBuilder {
    let backend = RedisBackend::builder(url).deadline(std::time::Duration::from_secs(30));
    Limiter::builder(backend.build().unwrap()).local_tier(LocalTier::none())
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
