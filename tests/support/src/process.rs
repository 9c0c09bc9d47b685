//! A process that ends with the test, whatever becomes of that.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Runs the program and waits on its own input, which ends when whoever holds the other end
/// does, killed or not; then it ends the program by its id.
const WATCHDOG: &str = r#"
log=$1; shift
"$@" >>"$log" 2>&1 </dev/null &
echo $!
read -r _
kill -9 $! 2>/dev/null
wait 2>/dev/null
"#;

/// How long a server may take for what it does at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A program that a test needs.
pub(crate) struct Program {
    /// Its name, or its path.
    pub(crate) name: String,
    /// The command that installs it.
    pub(crate) installed_by: &'static str,
}

impl Program {
    /// Where it is; `None` if it is missing. Servers are often where only root looks.
    fn path(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        // A path that is absolute stays the same.
        folders.map(|folder| folder.join(&self.name)).find(|path| path.is_file())
    }

    fn found(&self) -> PathBuf {
        let Self { name, installed_by } = self;
        self.path().unwrap_or_else(|| panic!("{name} is missing: {installed_by} installs it"))
    }

    /// Runs it to its end, and returns what it says.
    pub(crate) fn output(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.found()).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

pub(crate) struct Process {
    watchdog: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(program: &Program, arguments: &[&str], log: &Path) -> Self {
        Self::start_in(program, &[], arguments, log)
    }

    /// With variables of its environment.
    pub(crate) fn start_in(
        program: &Program,
        environment: &[(String, String)],
        arguments: &[&str],
        log: &Path,
    ) -> Self {
        let path = program.found();
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(log)
            .arg(path)
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(watchdog.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { watchdog, pid: line.trim().parse().unwrap(), log: log.to_owned() }
    }

    /// Waits until it is ready; `false` if it has ended.
    pub(crate) fn is_ready(&self, ready: impl Fn() -> bool) -> bool {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if ready() {
                return true;
            }
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if log.contains("Address already in use") || log.contains("Failed listening") {
                return false;
            }
            assert!(!log.contains("FATAL CONFIG FILE ERROR"), "{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not answer: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.pid.to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill -{signal} {}", self.pid);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ends the watchdog's input.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// A directory that goes with the test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "tollgate-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        // A socket's path must be short.
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody listens on, for a moment at least.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
