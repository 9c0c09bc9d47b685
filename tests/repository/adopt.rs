//! Somebody who has nothing but the README: a new crate outside the workspace, built from the
//! README's own snippets on what would be published, gets a limited handler, then Redis and nginx, then
//! a key of its own, then a test. What would be published builds with every feature, too.

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

/// The lines of the response that README shows, as `curl -i` prints them.
async fn as_shown(shown: &str, response: Response) -> String {
    let mut lines = vec![format!("HTTP/1.1 {}", response.status())];
    for line in shown.lines().skip(1) {
        let Some((name, _)) = line.split_once(": ") else { break };
        let value = response.headers().get(name).map_or("nothing", |value| value.to_str().unwrap());
        lines.push(format!("{name}: {value}"));
    }
    lines.push(String::new());
    lines.push(response.text().await.unwrap());
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// nginx with README's location, by which it sends requests to both services in turn.
struct Nginx {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Nginx {
    fn start(location: &str, services: [String; 2]) -> Self {
        let folder = std::env::temp_dir().join(format!("tollgate-nginx-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let location = replaced(location, "http://127.0.0.1:3000", "http://services");
        let path = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .concat();
        let configuration = format!(
            "daemon off;\npid {path}/pid;\nerror_log {path}/errors;\nevents {{}}\nhttp {{\n\
             access_log off;\n{temporary}\
             upstream services {{ server {}; server {}; }}\n\
             server {{\nlisten 127.0.0.1:{port};\n{location}}}\n}}\n",
            services[0], services[1]
        );
        fs::write(folder.join("nginx.conf"), configuration).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        // Servers are often where only root looks.
        let path = std::env::var("PATH").unwrap_or_default();
        nginx.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        nginx.arg("-e").arg(folder.join("errors")).stdin(Stdio::null());
        let child = nginx.spawn().unwrap();
        let nginx = Self { child, port, folder };
        eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        nginx
    }

    /// How many of `count` requests of a client at this address, which says that it has others, are admitted, and
    /// how many refused.
    async fn admitted(&self, from: &str, count: usize) -> [usize; 2] {
        let client = Client::builder().local_address(Some(from.parse().unwrap())).build().unwrap();
        let mut counts = [0, 0];
        for index in 0..count {
            let request = client.get(format!("http://127.0.0.1:{}/", self.port));
            let forged = format!("10.0.0.{index}");
            let response = request.header("x-forwarded-for", forged).send().await;
            match response.unwrap().status().as_u16() {
                200 => counts[0] += 1,
                429 => counts[1] += 1,
                other => panic!("{other}"),
            }
        }
        counts
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only by its own hand.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn the_readme_is_enough() {
    let (new, client) = (NewCrate::new(), Client::new());
    let one_dependency = "tollgate = { version = \"0.1\" }";

    // A handler, limited in memory. What README shows of the sixth response is the sixth response.
    let program = snippet("A service", "axum::serve");
    let service = Service::start(&new, one_dependency, &program);
    assert_eq!(service.admitted(&client, "a", 5).await, 5);
    let shown = snippet("A service", "429 Too Many Requests");
    assert_eq!(as_shown(&shown, service.get(&client, "a").await).await, shown);
    drop(service);

    // Redis: another backend, and two processes share what it counts. nginx is in front of both, and
    // says who its clients are.
    let server = RedisServer::start();
    let heading = "Redis, and nginx in front";
    let with_redis = snippet(heading, "features = [\"redis\"]");
    let limiter = snippet(heading, "RedisBackend::from_url");
    let limiter = replaced(&limiter, "redis://127.0.0.1:6379/0", &server.url());
    let program = replaced(
        &program,
        "let limiter = Limiter::new(MemoryBackend::new());",
        "let limiter = limiter().await?;",
    );
    let program = replaced(
        &program,
        "use tollgate::{Limiter, MemoryBackend, rate_limit",
        "use tollgate::{rate_limit",
    );
    let program = format!("{program}\n{limiter}");
    let first = Service::start(&new, &with_redis, &program);
    let second = Service::start(&new, &with_redis, &program);
    let location = snippet(heading, "proxy_set_header");
    let address = |service: &Service| service.url.trim_start_matches("http://").replace('/', "");
    let nginx = Nginx::start(&location, [address(&first), address(&second)]);
    // Not from the address of nginx, which is a trusted proxy.
    assert_eq!(nginx.admitted("127.0.0.2", 7).await, [5, 2]);
    assert_eq!(nginx.admitted("127.0.0.3", 1).await, [1, 0]);
    drop((nginx, first, second));

    // A key of its own: the host that is asked for, as the front page counts by another header.
    let key = "key = header(\"host\")";
    let program = replaced(&program, "per = 10)]", &format!("per = 10, {key})]"));
    let service = Service::start(&new, &with_redis, &program);
    assert_eq!(service.admitted(&client, "a.example", 6).await, 5);
    assert_eq!(service.admitted(&client, "b.example", 6).await, 5);
    drop(service);

    // A test, in which time stands still. It counts by the address, as README's program does.
    let program = replaced(&program, &format!("per = 10, {key})]"), "per = 10)]");
    let test = snippet("A test", "#[tokio::test]");
    new.write(&with_redis, &format!("{program}\n{test}"));
    let output = new.cargo("test");
    assert!(output.contains("1 passed"), "{output}");

    // All that there is.
    let every = format!("tollgate = {{ version = \"0.1\", features = {:?} }}", new.features());
    new.write(&every, &program);
    new.cargo("build");
}
