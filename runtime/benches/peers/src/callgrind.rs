//! Runs a case of this program under callgrind, in a process of its own.

use std::error::Error;
use std::process::{Command, Stdio};

/// Returns what callgrind counts within the function `counted`, while this program runs with
/// `arguments`: instructions first. There is one number at least, and it is not 0.
pub(crate) fn callgrind(
    options: &[&str],
    counted: &str,
    arguments: [&str; 2],
) -> Result<Vec<f64>, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(options)
        .arg(format!("--toggle-collect={counted}"))
        .arg(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start valgrind: {error}; install it"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected : "));
    let counts: Result<Vec<f64>, _> = collected
        .iter()
        .flat_map(|(_, counts)| counts.split_whitespace())
        .map(str::parse)
        .collect();
    match counts {
        Ok(counts) if output.status.success() && counts.first().is_some_and(|it| *it > 0.0) => {
            Ok(counts)
        }
        _ => Err(format!("callgrind did not count {}:\n{report}", arguments[1]).into()),
    }
}
