//! The commands `keys`, `peek`, `reset`, `ban` and `unban`, which look at a Redis and change what is
//! counted there. See `--help`.
//!
//! ```sh
//! tollgate keys --redis redis://cache.example
//! tollgate reset sign-in --arg ann@example.com --ip 192.0.2.1
//! ```

mod act;
mod args;
mod bare;
mod distinct;
mod list;
mod pace;
mod place;
mod shown;
mod subject;
mod walk;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use self::args::{Action, Task};
use self::place::Redis;
use crate::is_broken_pipe;

/// The commands, and what they do.
pub(crate) const COMMANDS: [&str; 5] = ["keys", "peek", "reset", "ban", "unban"];

pub(crate) fn main(command: &str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut output = BufWriter::new(io::stdout().lock());
    let done = match args::read(command, arguments) {
        Ok(Some(task)) => run(&task, &mut output),
        Ok(None) => output.write_all(args::HELP.as_bytes()).map_err(Into::into),
        Err(error) => {
            eprintln!("tollgate {command}: {error}\ntollgate {command} --help says what there is");
            return ExitCode::from(2);
        }
    };
    let done = done.and_then(|()| output.flush().map_err(Into::into));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            // The part that was found before the failure is of use.
            let _ = output.flush();
            eprintln!("tollgate {command}: {}", with_advice(with_causes(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task, output: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let redis = Redis::open(&task.place)?;
        let done = match task.action {
            Action::Keys { banned } => list::list(&redis, (task, banned), output).await,
            _ => act::act(&redis, task, output).await,
        };
        redis.limiter.close().await;
        done
    })
}

/// Writes an error with its causes, unless it repeats them itself.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        cause = next.source();
    }
    text
}

/// Adds how to grant a right that the user of the server lacks.
fn with_advice(text: String) -> String {
    // Redis says: NOPERM … has no permissions to run the 'NAME' command
    let named = text.split_once("NOPERM").and_then(|(_, said)| said.split_once("to run the '"));
    let command = named.and_then(|(_, command)| command.split('\'').next());
    match command {
        Some(command) => format!("{text}. Grant it by `ACL SETUSER … +{command}`"),
        None => text,
    }
}
