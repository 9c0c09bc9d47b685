//! An example that runs, and ends with the test at the latest.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use support::redis::eventually;

/// How it is started.
pub(crate) struct Example {
    command: Command,
}

impl Example {
    /// Cargo builds the examples before it runs a test.
    pub(crate) fn new(name: &str) -> Self {
        let mut path = std::env::current_exe().unwrap();
        // From `deps/NAME`.
        path.pop();
        path.pop();
        let path = path.join("examples").join(name);
        assert!(
            path.exists(),
            "{} is missing: cargo test -p tollgate-tests builds it",
            path.display()
        );
        let mut command = Command::new(path);
        command.current_dir(support::ROOT).env_remove("REDIS_URL");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self { command }
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Running { child, output, printed: String::new() }
    }

    /// Lets it run to its end. What it printed, if it is content with itself.
    pub(crate) fn run(self) -> String {
        self.start().finish()
    }
}

pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    printed: String,
}

impl Running {
    /// The rest of the line in which it prints `before`.
    pub(crate) fn line_with(&mut self, before: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended and did not print {before:?}: {}", self.printed);
            self.printed.push_str(&line);
            if let Some((_, rest)) = line.split_once(before) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap();
        assert!(status.success(), "kill -{signal} {pid}");
    }

    /// All that it printed, when it has ended of itself and with success.
    pub(crate) fn finish(mut self) -> String {
        self.output.read_to_string(&mut self.printed).unwrap();
        let mut status = None;
        eventually("the example ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{}", self.printed);
        std::mem::take(&mut self.printed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
