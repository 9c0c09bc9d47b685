//! TLS from outside the program: by the URL, by a configuration, by the builder.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tollgate::{Config, Limiter, Policy, Quota, RedisBackend};

use crate::access::{builder, start_error, works};
use crate::timed::runtime;
use support::redis::{Certificates, ClientFiles, LoneSentinel, RedisCluster, RedisServer};

const POLICY: Policy = Policy::new("tls", Quota::new(1_000, Duration::from_secs(60)));

/// A server that wants a certificate of its clients, and the files of such a client.
fn strict_server(certificates: &Certificates) -> (RedisServer, ClientFiles) {
    let server = RedisServer::start_tls_with(certificates, true, &[]);
    let files = certificates.write_for_client(&server.directory());
    (server, files)
}

fn url(server: &RedisServer) -> String {
    format!("rediss://127.0.0.1:{}", server.tls_port())
}

/// Asks a limiter that a configuration describes.
fn works_as_configured(file: &Path, variables: &[(&str, &str)]) -> Result<(), String> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let config = Config::load_with(file, variables).map_err(|error| error.to_string())?;
    let limiter = Limiter::from_config(&config).map_err(|error| error.to_string())?;
    runtime().block_on(async {
        limiter.initialize().await.map_err(|error| error.to_string())?;
        let decision = limiter.check(&POLICY, "s").await.map_err(|error| format!("{error:?}"))?;
        assert!(decision.is_allowed());
        Ok(())
    })
}

#[test]
fn tls_with_a_private_authority() {
    let certificates = Certificates::new();
    let server = RedisServer::start_tls(&certificates);
    let files = certificates.write_for_client(&server.directory());
    let port = server.tls_port();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("rediss://{host}:{port}");
        works(builder(&url).ca_certificate(certificates.ca.clone()));
        works(builder(&url).ca_file(&files.ca));
        works(builder(&format!("{url}?ca_file={}", files.ca.display())));
    }
    let error = start_error(builder(&url(&server)).ca_certificate(Certificates::new().ca));
    assert!(error.contains("certificate") && error.contains("correct its settings"), "{error}");
    // The machine's authorities do not know this one.
    let error = start_error(builder(&url(&server)));
    assert!(error.contains("certificate"), "{error}");
    let plain = builder(&server.url()).ca_certificate(certificates.ca).build().unwrap_err();
    assert!(plain.to_string().contains("rediss://"), "{plain}");
    // One side speaks TLS, the other does not.
    let error = start_error(builder(&format!("redis://127.0.0.1:{port}")));
    assert!(error.contains("write `rediss://`"), "{error}");
    let error =
        start_error(builder(&format!("rediss://127.0.0.1:{}", server.port)).ca_file(&files.ca));
    assert!(error.contains("correct its settings"), "{error}");
}

#[test]
fn a_client_certificate_by_url_file_environment_and_builder() {
    let certificates = Certificates::new();
    let (server, ClientFiles { ca, certificate, key }) = strict_server(&certificates);
    let files = certificates.write_for_client(&server.directory());
    let url = url(&server);
    works(builder(&format!("{url}?{}", files.parameters())));
    let of_builder = || builder(&url).ca_file(&ca);
    works(of_builder().client_certificate_file(&certificate).client_key_file(&key));
    works(
        of_builder()
            .client_certificate(certificates.client_certificate.clone(), certificates.client_key),
    );
    // The builder takes precedence over the URL.
    let wrong = format!("{url}?ca_file={}", key.display());
    works(builder(&wrong).ca_file(&ca).client_certificate_file(&certificate).client_key_file(&key));

    let [ca, certificate, key] = [&ca, &certificate, &key].map(|path| path.to_str().unwrap());
    let directory = server.directory();
    let write = |name: &str, text: String| {
        fs::write(directory.join(name), text).unwrap();
        directory.join(name)
    };
    for (name, text) in [
        (
            "a.toml",
            format!(
                "[backend]\nurl = {url:?}\ndeadline = \"20s\"\nca_file = {ca:?}\n\
                 client_certificate_file = {certificate:?}\nclient_key_file = {key:?}\n"
            ),
        ),
        (
            "a.yaml",
            format!(
                "backend:\n  url: {url}\n  deadline: 20s\n  ca_file: {ca}\n  \
                 client_certificate_file: {certificate}\n  client_key_file: {key}\n"
            ),
        ),
        (
            "a.json",
            format!(
                "{{\"backend\": {{\"url\": {url:?}, \"deadline\": \"20s\", \"ca_file\": {ca:?}, \
                 \"client_certificate_file\": {certificate:?}, \"client_key_file\": {key:?}}}}}"
            ),
        ),
    ] {
        works_as_configured(&write(name, text), &[]).unwrap();
    }
    let empty = write("empty.toml", String::new());
    let variables = [
        ("REDIS_URL", url.as_str()),
        ("TOLLGATE_BACKEND__DEADLINE", "20s"),
        ("TOLLGATE_BACKEND__CA_FILE", ca),
        ("TOLLGATE_BACKEND__CLIENT_CERTIFICATE_FILE", certificate),
        ("TOLLGATE_BACKEND__CLIENT_KEY_FILE", key),
        // Empty ones are absent.
        ("TOLLGATE_BACKEND__PASSWORD_FILE", ""),
        ("TOLLGATE_BACKEND__SERVER_NAME", ""),
    ];
    works_as_configured(&empty, &variables).unwrap();
    // The place and the key of a file that cannot be used.
    let variables = [variables[0], ("TOLLGATE_BACKEND__CA_FILE", "/nowhere/ca.pem")];
    let error = works_as_configured(&empty, &variables).unwrap_err();
    let place = "the environment variable TOLLGATE_BACKEND__CA_FILE: backend.ca_file: cannot read";
    assert!(error.starts_with(place), "{error}");
    let error = works_as_configured(&empty, &[("TOLLGATE_BACKEND__CA_FILE", ca)]).unwrap_err();
    assert!(error.contains("backend.ca_file: it is of use only with Redis"), "{error}");

    // Without a certificate the server refuses, and what it may be is told.
    let error = start_error(of_builder());
    println!("{error}");
    let is_told =
        error.contains("`client_certificate_file`") || error.contains("CertificateRequired");
    assert!(is_told, "{error}");
    // Somebody else's certificate is none.
    let other = Certificates::new();
    let error =
        start_error(of_builder().client_certificate(other.client_certificate, other.client_key));
    println!("{error}");
}

/// A certificate for another name than is connected to, as through a tunnel.
#[test]
fn the_servers_name_is_another_than_the_host() {
    let certificates = Certificates::of(&["redis.internal"]);
    let server = RedisServer::start_tls(&certificates);
    let ca = certificates.write_for_client(&server.directory()).ca;
    let error = start_error(builder(&url(&server)).ca_file(&ca));
    assert!(error.contains("redis.internal") && error.contains("127.0.0.1"), "{error}");
    works(builder(&url(&server)).ca_file(&ca).server_name("redis.internal"));
    works(builder(&format!("{}?server_name=redis.internal", url(&server))).ca_file(&ca));
    let error = start_error(builder(&url(&server)).ca_file(&ca).server_name("redis.example"));
    assert!(error.contains("redis.example"), "{error}");
    let file = server.directory().join("named.toml");
    let text = format!(
        "[backend]\nurl = {:?}\ndeadline = \"20s\"\nca_file = {ca:?}\nserver_name = \"redis.internal\"\n",
        url(&server)
    );
    fs::write(&file, text).unwrap();
    works_as_configured(&file, &[]).unwrap();
}

#[test]
fn a_cluster_that_wants_client_certificates() {
    let certificates = Certificates::new();
    let cluster = RedisCluster::start_tls(&certificates);
    let files = certificates.write_for_client(&cluster.nodes[0].directory());
    let hosts: Vec<String> =
        cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.tls_port())).collect();
    works(builder(&format!("rediss://{}?{}", hosts.join(","), files.parameters())));
    works(builder(&format!("rediss://{}?cluster=true&{}", hosts[1], files.parameters())));
    // It is found out that this one is a node of a cluster.
    works(builder(&format!("rediss://{}?{}", hosts[5], files.parameters())));
    let error = start_error(builder(&format!("rediss://{}", hosts.join(","))).ca_file(&files.ca));
    println!("{error}");
    let is_told =
        error.contains("`client_certificate_file`") || error.contains("CertificateRequired");
    assert!(is_told, "{error}");
}

/// Servers and sentinels speak TLS, or only one of the two do.
#[test]
fn sentinels_with_tls_on_both_sides_and_on_one() {
    let certificates = Certificates::new();
    let (server, files) = strict_server(&certificates);
    let lines = |directory: &Path, port: u16| {
        let options = certificates.options(directory, port, true);
        options.into_iter().map(|(name, value)| format!("{name} {value}\n")).collect::<String>()
    };
    let tls_port = std::cell::Cell::new(0);
    let with_tls = |directory: &Path| {
        tls_port.set(support::redis::free_port());
        lines(directory, tls_port.get())
    };
    let file = files.parameters();

    let both = LoneSentinel::start(server.tls_port(), |directory| {
        format!("{}tls-replication yes\n", with_tls(directory))
    });
    works(builder(&format!(
        "rediss://127.0.0.1:{}?sentinel_master=mymaster&{file}",
        tls_port.get()
    )));
    // The servers alone: this sentinel has a port without TLS, too.
    let url = format!("rediss://127.0.0.1:{}?sentinel_master=mymaster&{file}", both.port);
    works(builder(&format!("{url}&sentinel_tls=false")));
    works(builder(&url).sentinel_tls(false));
    let error = start_error(builder(&url));
    println!("{error}");
    assert!(error.contains("no sentinel names a master"), "{error}");
    drop(both);

    // The sentinels alone.
    let sentinels = LoneSentinel::start(server.port, with_tls);
    let url = format!("redis://127.0.0.1:{}?sentinel_master=mymaster&{file}", tls_port.get());
    works(builder(&format!("{url}&sentinel_tls=true")));
    let error = start_error(builder(&url.replace(&format!("&{file}"), "")));
    println!("{error}");
    assert!(error.contains("the sentinel 127.0.0.1"), "{error}");
    let error = builder(&url).build().unwrap_err().to_string();
    assert!(error.contains("`rediss://`"), "{error}");
    drop(sentinels);

    // Sentinels whose certificate has another name.
    let named = Certificates::of(&["sentinel.internal"]);
    let ca = server.directory().join("named-ca.pem");
    fs::write(&ca, named.ca.clone()).unwrap();
    let port = std::cell::Cell::new(0);
    let _sentinels = LoneSentinel::start(server.port, |directory| {
        port.set(support::redis::free_port());
        let options = named.options(directory, port.get(), false);
        options.into_iter().map(|(name, value)| format!("{name} {value}\n")).collect()
    });
    let url = format!(
        "redis://127.0.0.1:{}?sentinel_master=mymaster&sentinel_tls=true&ca_file={}",
        port.get(),
        ca.display()
    );
    works(builder(&format!("{url}&sentinel_server_name=sentinel.internal")));
    works(builder(&url).sentinel_server_name("sentinel.internal"));
    let error = start_error(builder(&url));
    assert!(error.contains("sentinel.internal"), "{error}");
}

/// Each thing that can be wrong with each file is told when the backend is built, with the file.
#[test]
fn files_that_cannot_be_used_are_told_at_start() {
    let certificates = Certificates::new();
    let server = RedisServer::start();
    let directory = server.directory();
    let files = certificates.write_for_client(&directory);
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let damaged = |pem: &str| pem.replacen("MII", "%%%", 1).replacen("MIG", "%%%", 1);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let text = write("text.pem", "hunter2");
    let empty = write("empty.pem", "");
    let cut = write("cut.pem", &certificates.ca[..certificates.ca.len() / 2]);
    let bad_certificate = write("bad-cert.pem", &damaged(&certificates.ca));
    let bad_key = write("bad-key.pem", &damaged(&certificates.client_key));
    let nonsense =
        write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = write("locked.pem", encrypted);
    let other = write("other.pem", &Certificates::new().client_key);
    let nowhere = directory.join("nowhere.pem");
    // The parameter, its file, and what is told.
    let mut count = 0;
    for (parameter, cases) in [
        (
            "ca_file",
            vec![
                (&nowhere, "No such file"),
                (&directory, "directory"),
                (&text, "BEGIN CERTIFICATE"),
                (&empty, "BEGIN CERTIFICATE"),
                (&files.key, "BEGIN CERTIFICATE"),
                (&cut, "not PEM"),
                (&bad_certificate, "not PEM"),
                (&nonsense, "no usable certificate of an authority"),
            ],
        ),
        (
            "client_certificate_file",
            vec![
                (&nowhere, "No such file"),
                (&text, "BEGIN CERTIFICATE"),
                (&files.key, "BEGIN CERTIFICATE"),
                (&cut, "not PEM"),
                (&bad_certificate, "not PEM"),
                (&nonsense, "cannot be used"),
                (&files.ca, "does not match"),
            ],
        ),
        (
            "client_key_file",
            vec![
                (&nowhere, "No such file"),
                (&text, "BEGIN PRIVATE KEY"),
                (&files.certificate, "BEGIN PRIVATE KEY"),
                (&bad_key, "not PEM"),
                (&locked, "without a passphrase"),
                (&other, "does not match"),
            ],
        ),
    ] {
        for (path, told) in cases {
            let named = |name: &str, path: &Path| format!("{name}={}", path.display());
            let parameters: Vec<String> = [
                ("ca_file", &files.ca),
                ("client_certificate_file", &files.certificate),
                ("client_key_file", &files.key),
            ]
            .iter()
            .map(|(name, file)| named(name, if *name == parameter { path } else { file }))
            .collect();
            let url = format!("rediss://127.0.0.1:1?{}", parameters.join("&"));
            let error = RedisBackend::builder(&url).build().map(|_| url).unwrap_err().to_string();
            println!("{error}");
            assert!(error.contains(told) && error.contains(path.to_str().unwrap()), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("%%%"), "{error}");
            count += 1;
        }
    }
    println!("{count} wrong files");
    for (parameters, told) in [
        (format!("client_key_file={}", files.key.display()), "`client_certificate_file`, too"),
        (
            format!("client_certificate_file={}", files.certificate.display()),
            "`client_key_file`, too",
        ),
        ("server_name=a b".to_owned(), "`a b` is neither the name of a host nor an address"),
        ("ca_file=".to_owned(), "`ca_file` is the path of a file"),
        ("sentinel_tls=true".to_owned(), "add `sentinel_master`"),
        ("sentinel_tls=yes&sentinel_master=m".to_owned(), "`true` or `false`"),
    ] {
        let url = format!("rediss://127.0.0.1:1?{parameters}");
        let error = RedisBackend::builder(&url).build().map(|_| url).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

/// Certificates are renewed while the program runs, by other authorities, too.
#[test]
fn renewed_files_are_used_by_new_connections() {
    let certificates = Certificates::new();
    let (server, files) = strict_server(&certificates);
    let backend = RedisBackend::builder(&format!("{}?{}", url(&server), files.parameters()));
    let backend = backend.deadline(Duration::from_millis(500)).build().unwrap();
    let limiter = Limiter::builder(backend).breaker(None).build();
    let check = |runtime: &tokio::runtime::Runtime| runtime.block_on(limiter.check(&POLICY, "s"));
    let runtime = runtime();
    support::redis::eventually("it connects", || check(&runtime).is_ok());
    let renewed = Certificates::new();
    let directory = server.directory();
    renewed.options(&directory, 0, true);
    let _: () = redis::cmd("CONFIG")
        .arg("SET")
        .arg("tls-cert-file")
        .arg(&*directory.join("cert.pem").to_string_lossy())
        .arg("tls-key-file")
        .arg(&*directory.join("key.pem").to_string_lossy())
        .arg("tls-ca-cert-file")
        .arg(&*directory.join("ca.pem").to_string_lossy())
        .query(&mut server.connection())
        .unwrap();
    let kill = || {
        redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .arg("SKIPME")
            .arg("yes")
            .exec(&mut server.connection())
    };
    // Half of the files are not the client's yet: the former ones are used, and the server refuses.
    fs::write(&files.certificate, &renewed.client_certificate).unwrap();
    kill().unwrap();
    assert!(check(&runtime).is_err());
    renewed.write_for_client(&directory);
    support::redis::eventually("the renewed files are used", || check(&runtime).is_ok());
}

/// The program chooses the cryptography of its process, and nobody else.
#[test]
fn no_cryptography_is_installed_for_the_process() {
    let certificates = Certificates::new();
    let server = RedisServer::start_tls(&certificates);
    works(builder(&url(&server)).ca_certificate(certificates.ca));
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

/// The machine's authorities are trusted if none is named; a variable names them for a process.
#[test]
fn the_systems_authorities_are_the_default() {
    const URL: &str = "TOLLGATE_TEST_TLS_URL";
    const THIS: &str = "access_tls::the_systems_authorities_are_the_default";
    if let Ok(url) = std::env::var(URL) {
        works(builder(&url));
        return;
    }
    let certificates = Certificates::new();
    let server = RedisServer::start_tls(&certificates);
    let ca = certificates.write_for_client(&server.directory()).ca;
    let run = |authorities: &Path| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS, "--test-threads", "1"])
            .env(URL, url(&server))
            .env("SSL_CERT_FILE", authorities)
            .env("SSL_CERT_DIR", "/nowhere")
            .output()
            .unwrap()
    };
    assert!(run(&ca).status.success(), "{:?}", run(&ca));
    let other = server.directory().join("none.pem");
    fs::write(&other, "").unwrap();
    let output = run(&other);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = text + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("trusts no certificate authorities"), "{text}");
}
