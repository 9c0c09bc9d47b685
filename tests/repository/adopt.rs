//! Somebody who has nothing but the README: a new crate outside the workspace, built from the
//! README's own snippets on what would be published, gets a limited handler, then Redis, then a key
//! of its own, then a test. What would be published builds with every feature, too.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::{Client, Response};
use support::ROOT;
use support::redis::{RedisServer, eventually};

const PACKAGES: [&str; 2] = ["tollgate", "tollgate-macros"];
const PACKED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/adopt");

/// Where this test was built. Of the dependencies that the new crate has in common with it, most are
/// there, so long as both have the same profile.
fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // From `debug/deps/NAME`.
    test.ancestors().nth(3).unwrap().to_owned()
}

/// The first snippet below `heading` that holds `text`, without what rustdoc would hide.
fn snippet(heading: &str, text: &str) -> String {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (_, section) =
        readme.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let snippets = section.split("```").skip(1).step_by(2);
    let found = snippets.into_iter().find(|snippet| snippet.contains(text));
    let found = found.unwrap_or_else(|| panic!("no snippet with {text} below {heading}"));
    let lines = found.lines().skip(1).filter(|line| !line.starts_with("# "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// `text` with `from`, which it has once, replaced.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} in\n{text}");
    text.replace(from, to)
}

/// What `command` prints, if it succeeds.
fn run(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    let output = String::from_utf8_lossy(&ended.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}:\n{output}{errors}");
    output
}

/// The new crate, removed when the test ends.
struct NewCrate {
    path: PathBuf,
    /// Of the packages: the workspace's own has none.
    version: String,
}

impl NewCrate {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tollgate-adopt-{}", std::process::id()));
        fs::create_dir_all(path.join("src")).unwrap();
        // The versions that are here already.
        fs::copy(Path::new(ROOT).join("Cargo.lock"), path.join("Cargo.lock")).unwrap();
        let id =
            run(Command::new(env!("CARGO")).args(["pkgid", "-p", "tollgate"]).current_dir(ROOT));
        let version = id.trim().rsplit(['#', '@']).next().unwrap().to_owned();
        let new = Self { path, version };
        run(Command::new(env!("CARGO"))
            .args(["package", "--quiet", "--no-verify", "--allow-dirty"])
            .args(["--package", "tollgate", "--package", "tollgate-macros"])
            .args(["--target-dir", PACKED])
            .current_dir(ROOT));
        for package in PACKAGES {
            let package = format!("{package}-{}", new.version);
            let archive = format!("{PACKED}/package/{package}.crate");
            // Packed files are of 2006: without `-m`, cargo would take them for built.
            run(Command::new("tar").args(["-xmzf", &archive]).current_dir(&new.path));
            for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
                let length = fs::metadata(new.path.join(&package).join(file)).unwrap().len();
                assert!(length > 0, "{package} has an empty {file}");
            }
        }
        new
    }

    /// Writes it. What is not published yet comes from the packages beside it.
    fn write(&self, tollgate: &str, main: &str) {
        let version = &self.version;
        let manifest = format!(
            "[package]\nname = \"adopt\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [workspace]\n\n[profile.dev]\ndebug = false\n\n\
             [patch.crates-io]\n\
             tollgate = {{ path = \"tollgate-{version}\" }}\n\
             tollgate-macros = {{ path = \"tollgate-macros-{version}\" }}\n\n\
             [dependencies]\n{tollgate}\naxum = \"0.8\"\n\
             tokio = {{ version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\"] }}\n"
        );
        fs::write(self.path.join("Cargo.toml"), manifest).unwrap();
        fs::write(self.path.join("src/main.rs"), main).unwrap();
    }

    /// Those of the packed library.
    fn features(&self) -> Vec<String> {
        let path = self.path.join(format!("tollgate-{}/Cargo.toml", self.version));
        let manifest = fs::read_to_string(path).unwrap();
        let (_, features) = manifest.split_once("\n[features]\n").unwrap();
        let features = features.split("\n[").next().unwrap().lines();
        let names = features.filter_map(|line| line.split_once(" = [")).map(|(name, _)| name);
        let names: Vec<String> = names.map(str::to_owned).collect();
        assert!(names.len() > 3, "{names:?}");
        names
    }

    /// Warnings of the packages are errors, too: `RUSTFLAGS` would say so, but then nothing that is
    /// built already could be used.
    fn cargo(&self, command: &str) -> String {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([command, "--quiet"]).current_dir(&self.path).env("CARGO_TARGET_DIR", target());
        let ended = cargo.output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !errors.contains("warning"), "{cargo:?}:\n{errors}");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    }
}

impl Drop for NewCrate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The program while it serves.
struct Service {
    child: Child,
    url: String,
}

impl Service {
    /// `main` says where it listens: the README's port is replaced by one that is free.
    fn start(new: &NewCrate, tollgate: &str, main: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        new.write(tollgate, &replaced(main, "127.0.0.1:3000", &address));
        new.cargo("build");
        let program = target().join("debug/adopt");
        let child = Command::new(program).stdin(Stdio::null()).spawn().unwrap();
        let service = Self { child, url: format!("http://{address}/") };
        eventually("it listens", || std::net::TcpStream::connect(&address).is_ok());
        service
    }

    async fn get(&self, client: &Client, host: &str) -> Response {
        client.get(&self.url).header("host", host).send().await.unwrap()
    }

    /// How many of `count` requests are admitted; the others are refused.
    async fn admitted(&self, client: &Client, host: &str, count: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..count {
            match self.get(client, host).await.status().as_u16() {
                200 => admitted += 1,
                429 => {}
                other => panic!("{other}"),
            }
        }
        admitted
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_readme_is_enough() {
    let (new, client) = (NewCrate::new(), Client::new());
    let one_dependency = "tollgate = { version = \"0.1\" }";

    // A handler, limited in memory.
    let program = snippet("A complete program", "axum::serve");
    let service = Service::start(&new, one_dependency, &program);
    assert_eq!(service.admitted(&client, "a", 5).await, 5);
    let refused = service.get(&client, "a").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["ratelimit-policy"], "\"greet\";q=5;w=10");
    drop(service);

    // Redis: another backend, and two processes share what it counts.
    let server = RedisServer::start();
    let with_redis = snippet("One budget for many processes", "features = [\"redis\"]");
    let limiter = snippet("One budget for many processes", "RedisBackend::from_url");
    let limiter = replaced(&limiter, "redis://redis:6379/0", &server.url());
    let limiter = limiter.lines().next().unwrap();
    let program = replaced(&program, "let limiter = Limiter::new(MemoryBackend::new());", limiter);
    let program = replaced(&program, "MemoryBackend", "RedisBackend");
    let first = Service::start(&new, &with_redis, &program);
    let second = Service::start(&new, &with_redis, &program);
    assert_eq!(first.admitted(&client, "a", 3).await, 3);
    assert_eq!(second.admitted(&client, "a", 4).await, 2);
    assert_eq!(first.get(&client, "a").await.status(), 429);
    drop((first, second));

    // A key of its own: the host that is asked for, as the README counts by another header.
    let taste = snippet("The attribute", "key = header(");
    let key = taste.split_once("key = header(\"x-api-key\")").map(|_| "key = header(\"host\")");
    let program = replaced(&program, "per = 10)]", &format!("per = 10, {})]", key.unwrap()));
    let service = Service::start(&new, &with_redis, &program);
    assert_eq!(service.admitted(&client, "a.example", 6).await, 5);
    assert_eq!(service.admitted(&client, "b.example", 6).await, 5);
    drop(service);

    // A test, in which time stands still.
    let test = snippet("Testing", "ManualClock::new()");
    let test = format!("#[cfg(test)]\n#[tokio::test]\nasync fn of_its_own() {{\n{test}}}\n");
    new.write(&with_redis, &format!("{program}\n{test}"));
    let output = new.cargo("test");
    assert!(output.contains("1 passed"), "{output}");

    // All that there is.
    let every = format!("tollgate = {{ version = \"0.1\", features = {:?} }}", new.features());
    new.write(&every, &program);
    new.cargo("build");
}
