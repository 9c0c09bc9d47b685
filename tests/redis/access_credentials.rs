//! Credentials that change: files that are read anew for each connection, and a function of the
//! program that is asked for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate::backend::{RedisBackendBuilder, RedisCredentials};
use tollgate::{Config, Limiter, Policy, Quota, RedisBackend, Unavailable};

use crate::access::{builder, start_error, works};
use crate::timed::runtime;
use support::redis::{Passwords, RedisCluster, RedisServer, Sentinels, eventually};

const POLICY: Policy = Policy::new("rotation", Quota::new(100_000, Duration::from_secs(3600)));

/// Sets the only password of the user `app`.
fn set_password(server: &RedisServer, password: &str) {
    let rules = ["on", "resetpass", &format!(">{password}"), "~*", "&*", "+@all"];
    redis::cmd("ACL").arg("SETUSER").arg("app").arg(&rules).exec(&mut server.connection()).unwrap();
}

/// Ends all connections of the user `app`.
fn kill_connections(server: &RedisServer) {
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("USER").arg("app").exec(&mut server.connection()).unwrap();
}

/// A file of a secret, with a name that no other test has.
fn secret_file(server: &RedisServer, name: &str, text: &str) -> PathBuf {
    let path = server.directory().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// A limiter that fails soon, and asks each time.
fn hasty(backend: RedisBackendBuilder) -> Limiter {
    let backend = backend.deadline(Duration::from_millis(300)).build().unwrap();
    Limiter::builder(backend).breaker(None).build()
}

/// A failed check, in all its words.
fn words(error: &Unavailable) -> String {
    format!("{error:?}")
}

/// The password is rotated as operators do it: the server first, then the file. What happens in
/// between is told without a password.
fn is_rotated(servers: &[&RedisServer], file: &Path, limiter: &Limiter) {
    let runtime = runtime();
    let subjects = || (0..9).map(|n| format!("s{n}"));
    // Subjects of all nodes of a cluster.
    let check_all = || -> Result<(), Unavailable> {
        subjects().try_for_each(|subject| {
            runtime.block_on(limiter.check(&POLICY, &subject)).map(|decision| {
                assert!(decision.is_allowed());
            })
        })
    };
    eventually("the first password is used", || check_all().is_ok());
    for password in ["pw-two", "pw-three/@?&+ %"] {
        let remaining = runtime.block_on(limiter.peek(&POLICY, "s0", 1)).unwrap().remaining();
        for server in servers {
            set_password(server, password);
        }
        // Connections go on until they end.
        check_all().unwrap();
        for server in servers {
            kill_connections(server);
        }
        eventually("the old password is refused", || check_all().is_err());
        let error = words(&check_all().unwrap_err());
        println!("{error}");
        assert!(error.contains("WRONGPASS") && !error.contains("pw-"), "{error}");
        // As `echo` writes it, with a line break; an editor of another system writes two characters.
        let end = if password == "pw-two" { "\n" } else { "\r\n" };
        let next = file.with_extension("next");
        fs::write(&next, format!("{password}{end}")).unwrap();
        fs::rename(&next, file).unwrap();
        eventually("the new password is used", || check_all().is_ok());
        let now = runtime.block_on(limiter.peek(&POLICY, "s0", 1)).unwrap().remaining();
        assert!(now < remaining, "the counts stay");
    }
}

#[test]
fn a_password_file_is_read_anew_by_url_builder_and_configuration() {
    let server = RedisServer::start();
    let host = format!("127.0.0.1:{}", server.port);
    let file = secret_file(&server, "password", "pw-one");
    let user = secret_file(&server, "user", "app\n");
    let of_file = |text: &str| {
        let path = secret_file(&server, "tollgate.toml", text);
        let config = Config::load_with(&path, []).unwrap();
        config.builder().unwrap().breaker(None).build()
    };
    let shown = |path: &Path| path.display().to_string();
    let (password, user) = (shown(&file), shown(&user));
    for limiter in [
        hasty(RedisBackend::builder(&format!("redis://app@{host}?password_file={password}"))),
        hasty(RedisBackend::builder(&format!(
            "redis://{host}?password_file={password}&username_file={user}"
        ))),
        hasty(RedisBackend::builder(&format!("redis://app@{host}")).password_file(&password)),
        // The builder takes precedence over the URL.
        hasty(
            RedisBackend::builder(&format!("redis://nobody:pw-none@{host}"))
                .username_file(&user)
                .password_file(&password),
        ),
        of_file(&format!(
            "[backend]\nurl = \"redis://{host}\"\ndeadline = \"300ms\"\nusername_file = {user:?}\n\
             password_file = {password:?}\n"
        )),
    ] {
        fs::write(&file, "pw-one").unwrap();
        set_password(&server, "pw-one");
        is_rotated(&[&server], &file, &limiter);
    }
}

#[test]
fn a_password_file_is_read_anew_in_a_cluster() {
    let cluster = RedisCluster::start();
    let file = secret_file(&cluster.nodes[0], "password", "pw-one");
    let nodes: Vec<&RedisServer> = cluster.nodes.iter().collect();
    nodes.iter().for_each(|node| set_password(node, "pw-one"));
    let url = cluster.url().replace("redis://", "redis://app@");
    is_rotated(&nodes, &file, &hasty(RedisBackend::builder(&url).password_file(&file)));
}

#[test]
fn password_files_of_sentinels_and_their_servers() {
    let passwords = Passwords { servers: "pw-servers", sentinels: "pw-sentinels" };
    let sentinels = Sentinels::start_with_passwords(passwords);
    let of_servers = secret_file(&sentinels.servers[0], "servers", "pw-servers\n");
    let of_sentinels = secret_file(&sentinels.servers[0], "sentinels", "pw-sentinels\n");
    let parameters = format!(
        "&password_file={}&sentinel_password_file={}",
        of_servers.display(),
        of_sentinels.display()
    );
    works(builder(&format!("{}{parameters}", sentinels.url())));
    works(
        builder(&sentinels.url()).password_file(&of_servers).sentinel_password_file(&of_sentinels),
    );
    // Only the servers' own is wrong, only the sentinels', or both.
    for (servers, sentinel) in [("pw-x", "pw-sentinels"), ("pw-servers", "pw-x"), ("pw-x", "pw-x")]
    {
        fs::write(&of_servers, servers).unwrap();
        fs::write(&of_sentinels, sentinel).unwrap();
        let error = start_error(builder(&format!("{}{parameters}", sentinels.url())));
        println!("{error}");
        let is_refused = error.contains("WRONGPASS") || error.contains("authentication failed");
        assert!(is_refused && !error.contains("pw-"), "{error}");
        let of_which = if sentinel == "pw-x" { "the sentinel 127" } else { "the master 127" };
        assert!(error.contains(of_which), "{error}");
    }
    // One password of both, from a provider.
    let both = Passwords { servers: "pw-both", sentinels: "pw-both" };
    let sentinels = Sentinels::start_with_passwords(both);
    works(
        builder(&sentinels.url()).credentials(|| async {
            Ok::<_, std::io::Error>(RedisCredentials::password("pw-both"))
        }),
    );
}

#[test]
fn files_that_cannot_be_read_are_told_at_start_and_later() {
    let server = RedisServer::start();
    set_password(&server, "pw-one");
    let empty = secret_file(&server, "empty", "\n");
    let binary = server.directory().join("binary");
    fs::write(&binary, b"pw-\xff\xfe").unwrap();
    let nowhere = server.directory().join("nowhere");
    let url = format!("redis://app@127.0.0.1:{}", server.port);
    for (path, told) in [
        (&nowhere, "No such file"),
        (&empty, "is empty"),
        (&binary, "UTF-8"),
        (&server.directory(), "directory"),
    ] {
        let error = builder(&url).password_file(path).build().unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains(told) && error.contains(path.to_str().unwrap()), "{error}");
        assert!(!error.contains("pw-"), "{error}");
    }
    let file = secret_file(&server, "password", "pw-one");
    for (parameters, told) in [
        (format!("redis://h?username_file={}", file.display()), "password_file"),
        (format!("redis://:pw-x@h?password_file={}", file.display()), "leave one of the two out"),
        (format!("redis://a:b@h?username_file={}", file.display()), "leave one of the two out"),
        ("redis://h?password_file=".to_owned(), "the path of a file"),
        ("redis://app@h".to_owned(), "comes with a password"),
    ] {
        let error = RedisBackend::builder(&parameters).build().unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("pw-"), "{error}");
    }
    // While it runs, a file that has gone is like a server that is away, and heals.
    let limiter = hasty(builder(&url).password_file(&file));
    let runtime = runtime();
    eventually("it works", || runtime.block_on(limiter.check(&POLICY, "s")).is_ok());
    fs::remove_file(&file).unwrap();
    kill_connections(&server);
    let told = || match runtime.block_on(limiter.check(&POLICY, "s")) {
        Err(error) => words(&error).contains("cannot read the file"),
        Ok(_) => false,
    };
    eventually("the missing file is told", told);
    fs::write(&file, "pw-one").unwrap();
    eventually("it works again", || runtime.block_on(limiter.check(&POLICY, "s")).is_ok());
}

/// The program's function: what it answers next, and how often it was asked.
#[derive(Clone)]
struct Vault {
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Password(&'static str),
    Failure,
    Panic,
    Never,
}

impl Vault {
    fn new() -> Self {
        Self { answer: Arc::new(Mutex::new(Answer::Password("pw-one"))), asked: Arc::default() }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn limiter(&self, url: &str) -> Limiter {
        let vault = self.clone();
        hasty(RedisBackend::builder(url).credentials(move || {
            vault.asked.fetch_add(1, Ordering::SeqCst);
            let answer = *vault.answer.lock().unwrap();
            async move {
                match answer {
                    Answer::Password(password) => Ok(RedisCredentials::new("app", password)),
                    Answer::Failure => Err("the vault is sealed"),
                    Answer::Panic => panic!("the vault is broken"),
                    Answer::Never => std::future::pending().await,
                }
            }
        }))
    }
}

#[test]
fn a_function_of_the_program_is_asked_for_each_connection() {
    let server = RedisServer::start();
    set_password(&server, "pw-one");
    let vault = Vault::new();
    // It replaces what the URL says.
    let limiter = vault.limiter(&format!("redis://nobody:pw-none@127.0.0.1:{}", server.port));
    assert_eq!(vault.asked(), 0, "nothing connects before the first check");
    let runtime = runtime();
    let check = || runtime.block_on(limiter.check(&POLICY, "s"));
    eventually("the first password is used", || check().is_ok());
    let asked = vault.asked();
    for _ in 0..20 {
        assert!(check().unwrap().is_allowed());
    }
    assert_eq!(vault.asked(), asked, "no new connection, no question");
    for (answer, told) in [
        (Answer::Failure, "the vault is sealed"),
        (Answer::Panic, "panicked"),
        (Answer::Password("pw-old"), "WRONGPASS"),
        (Answer::Never, "deadline"),
    ] {
        vault.set(answer);
        kill_connections(&server);
        eventually("the failure is told", || match check() {
            Ok(_) => false,
            Err(error) => {
                let text = words(&error);
                assert!(!text.contains("pw-"), "{text}");
                text.contains(told)
            }
        });
        vault.set(Answer::Password("pw-one"));
        eventually("it works again", || check().is_ok());
    }
    assert!(vault.asked() > asked + 4, "{}", vault.asked());
    // The user of the credentials is the one whose rights are told.
    redis::cmd("ACL")
        .arg("SETUSER")
        .arg("app")
        .arg("-evalsha")
        .exec(&mut server.connection())
        .unwrap();
    let error = runtime.block_on(limiter.initialize()).unwrap_err().to_string();
    assert!(error.contains("ACL SETUSER app +evalsha"), "{error}");
}

#[test]
fn a_function_that_fails_at_start_is_told_and_may_heal() {
    let server = RedisServer::start();
    set_password(&server, "pw-one");
    let vault = Vault::new();
    vault.set(Answer::Failure);
    let limiter = vault.limiter(&server.url());
    let error = runtime().block_on(limiter.initialize()).unwrap_err();
    assert!(error.is_away() && error.to_string().contains("the vault is sealed"), "{error}");
    vault.set(Answer::Password("pw-old"));
    let limiter = vault.limiter(&server.url());
    let error = runtime().block_on(limiter.initialize()).unwrap_err();
    assert!(!error.is_away() && error.to_string().contains("WRONGPASS"), "{error}");
}
