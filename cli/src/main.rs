//! The command `tollgate`.

mod plan;

use std::process::ExitCode;

const HELP: &str = "\
Usage: tollgate COMMAND [OPTIONS]

  plan     which number to write in a limit: replays an access log through limits

`tollgate COMMAND --help` says what a command takes.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    match command.as_ref().and_then(|command| command.to_str()) {
        Some("plan") => plan::main(arguments),
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
