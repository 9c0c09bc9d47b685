//! The command `tollgate`.

mod duration;
mod operate;
mod plan;

use std::error::Error;
use std::io;
use std::process::ExitCode;

const HELP: &str = "\
Usage: tollgate COMMAND [OPTIONS]

  plan     which number to write in a limit: replays an access log through limits

  keys     which policies count how many subjects in a Redis, or the subjects of one
  peek     what a subject has left, and if it is banned
  reset    forgets all that a subject has used, and its ban
  ban      refuses all requests of a subject for a time
  unban    ends a subject's ban

`tollgate COMMAND --help` says what a command takes.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    match command.as_ref().and_then(|command| command.to_str()) {
        Some("plan") => plan::main(arguments),
        Some(command) if operate::COMMANDS.contains(&command) => operate::main(command, arguments),
        Some("-h" | "--help" | "help") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            match command {
                Some(command) => eprintln!("tollgate: no command is called {command:?}"),
                None => eprintln!("tollgate: which command?"),
            }
            eprintln!("tollgate --help lists the commands");
            ExitCode::from(2)
        }
    }
}

/// Returns `true` for the error of a pipe whose reader has gone.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}
