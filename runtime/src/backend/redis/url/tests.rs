//! The URLs that are understood, and the mistakes that are explained.

use std::time::Duration;

use super::*;
use crate::backend::redis::tls::Pem;

fn parse(text: &str) -> RedisUrl {
    RedisUrl::parse(text).unwrap()
}

fn error(text: &str) -> String {
    match RedisUrl::parse(text).and_then(|url| url.is_cluster()) {
        Ok(_) => panic!("{text} was accepted"),
        Err(error) => error.to_string(),
    }
}

fn text_of(secret: &Option<Secret>) -> Option<&str> {
    match secret.as_ref()? {
        Secret::Text(text) => Some(text),
        Secret::File(path) => path.to_str(),
    }
}

fn at(host: &str, port: u16) -> (String, u16) {
    (host.to_owned(), port)
}

#[test]
fn the_urls_of_the_guide_are_understood() {
    let single = parse("redis://redis-server:6379/0");
    assert_eq!(single.hosts(), [at("redis-server", 6379)]);
    assert!(!single.is_cluster().unwrap());
    let mut sentinels = parse("redis://sentinel1:26379,sentinel2:26379,sentinel3:26379/0");
    sentinels.settings.sentinel_master = Some("mymaster".into());
    assert!(!sentinels.is_cluster().unwrap());
    assert_eq!(sentinels.hosts().len(), 3);
    let cluster = parse("redis://node1:6379,node2:6379,node3:6379/0");
    assert!(cluster.is_cluster().unwrap());
    assert_eq!(cluster.hosts()[2], at("node3", 6379));
}

#[test]
fn every_part_is_read() {
    let url = parse(
        "rediss://me:p%40s%2Fs@[::1]:7000/3?key_prefix=a%3A&pool_size=7&deadline=250ms&cluster=false",
    );
    assert!(url.tls);
    assert_eq!(url.hosts(), [at("::1", 7000)]);
    assert_eq!(text_of(&url.settings.credentials.username), Some("me"));
    assert_eq!(text_of(&url.settings.credentials.password), Some("p@s/s"));
    assert_eq!((url.database, url.settings.pool_size), (3, Some(7)));
    assert_eq!(url.settings.key_prefix.as_deref(), Some("a:"));
    assert_eq!(url.settings.deadline, Some(Duration::from_millis(250)));
    assert_eq!(text_of(&parse("redis://:secret@h").settings.credentials.password), Some("secret"));
    assert_eq!(parse("redis://h").hosts(), [at("h", 6379)]);
    assert_eq!(parse("redis://a,b:1?sentinel_master=m").hosts(), [at("a", 26379), at("b", 1)]);
    assert!(parse("redis://h?cluster=true").is_cluster().unwrap());
    let url = parse(
        "redis://me:one@h?sentinel_master=m&sentinel_username=a%26&sentinel_password=t+w%26o#",
    );
    assert_eq!(text_of(&url.settings.credentials.password), Some("one"));
    assert_eq!(text_of(&url.settings.sentinel_credentials.username), Some("a&"));
    assert_eq!(text_of(&url.settings.sentinel_credentials.password), Some("t+w&o#"));
    let url = parse("redis://h?sentinel_master=m&sentinel_password=");
    assert_eq!(text_of(&url.settings.sentinel_credentials.password), None);
    let socket = parse("redis+unix://me:secret@/run/a%20b.sock?db=2");
    assert_eq!(socket.location, Location::Socket("/run/a b.sock".into()));
    assert_eq!((socket.database, text_of(&socket.settings.credentials.username)), (2, Some("me")));
}

/// Each parameter that names a file or a name: as it is written, percent-encoded, and with the
/// characters that stand for something else in other parameters.
#[test]
fn names_and_paths_are_read_as_they_are_written() {
    let pem = |pem: &Option<Pem>| match pem {
        Some(Pem::File(path)) => path.to_str().map(str::to_owned),
        _ => None,
    };
    let secret = |secret: &Option<Secret>| match secret {
        Some(Secret::File(path)) => path.to_str().map(str::to_owned),
        _ => None,
    };
    for (written, meant) in
        [("/run/a.pem", "/run/a.pem"), ("a+b", "a+b"), ("a%20b%26c", "a b&c"), ("/@=:", "/@=:")]
    {
        for name in [
            "ca_file",
            "client_certificate_file",
            "client_key_file",
            "server_name",
            "sentinel_server_name",
            "username_file",
            "password_file",
            "sentinel_username_file",
            "sentinel_password_file",
        ] {
            let settings = parse(&format!("rediss://h?pool_size=2&{name}={written}")).settings;
            let RedisSettings { tls, credentials, sentinel_credentials, .. } = &settings;
            let read = match name {
                "ca_file" => pem(&tls.authority),
                "client_certificate_file" => pem(&tls.client_certificate),
                "client_key_file" => pem(&tls.client_key),
                "server_name" => tls.server_name.clone(),
                "sentinel_server_name" => settings.sentinel_server_name.clone(),
                "username_file" => secret(&credentials.username),
                "password_file" => secret(&credentials.password),
                "sentinel_username_file" => secret(&sentinel_credentials.username),
                _ => secret(&sentinel_credentials.password),
            };
            assert_eq!(read.as_deref(), Some(meant), "{name}={written}");
            assert_eq!(settings.pool_size, Some(2));
            assert!(RedisUrl::parse(&format!("rediss://h?{name}=")).is_err(), "{name}");
        }
    }
    assert_eq!(parse("redis://h?sentinel_tls=true").settings.sentinel_tls, Some(true));
}

#[test]
fn mistakes_are_explained() {
    for (url, expected) in [
        ("h:6379", "redis://"),
        ("http://h", "`http`"),
        ("redis://", "host is missing"),
        ("redis://a,,b", "host is missing"),
        ("redis://h:port", "port is not a number"),
        ("redis://:%ff@h", "`%25`"),
        ("redis://h/one", "`one` is not the number"),
        ("redis://h?sentinel_mastr=m", "did you mean `sentinel_master`?"),
        ("redis://h?prefix=m", "there is `sentinel_master`, `sentinel_username`"),
        ("redis://h?sentinel_password=p", "add `sentinel_master`"),
        ("redis://h?sentinel_master=m&sentinel_username=u", "add `sentinel_password`"),
        ("redis://h?sentinel_master=m&sentinel_password=p&ss", "`%26`"),
        ("redis://h?ca_file=a", "`rediss://`"),
        ("redis://h?server_name=a", "`rediss://`"),
        ("rediss://h?sentinel_server_name=a", "add `sentinel_master`"),
        ("redis://h?sentinel_master=m&sentinel_server_name=a", "`sentinel_tls=true`"),
        ("redis://h?username_file=a", "`password_file`"),
        ("redis://h?client_key_fil=a", "did you mean `client_key_file`?"),
        ("redis://h?cluster=yes", "`true` or `false`"),
        ("redis://h?pool_size=0", "at least 1"),
        ("redis://h?deadline=100", "`100ms`"),
        ("redis://h?db=1", "redis://host/1"),
        ("redis://user@h", "comes with a password"),
        ("redis+unix://run", "begins with `/`"),
        ("redis://a,b/1", "only database 0"),
        ("redis://h/1?cluster=true", "only database 0"),
        ("redis://a,b?cluster=false", "several hosts"),
        ("redis://a?cluster=true&sentinel_master=m", "contradict"),
        ("redis+unix:///s?cluster=true", "single server"),
    ] {
        let error = error(url);
        assert!(error.contains(expected), "{url}: {error}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let url = parse("redis://:secret@h");
    assert!(!format!("{url:?}").contains("secret"));
    for text in [
        "redis://:secret@h:x",
        "redis://app:secret",
        "redis://h:secret:6379",
        "redis://h?sentinel_master=m&sentinel_password=a&secret",
        "redis://h?sentinel_master=m&sentinel_password=secret&x=1",
        "redis://h?sentinel_password=se@secret",
    ] {
        assert!(!error(text).contains("secret"), "{text}");
    }
}

/// Each special character at each place of a password: either the password is read as it is
/// written, or the error tells how to write it, and repeats none of it.
#[test]
fn special_characters_in_passwords_are_read_or_explained() {
    let mut counts = (0, 0);
    for special in ["/", "?", "@", "#", "%", ":", "://", "[", "]", ",", "+", "&", "=", ";", " "] {
        for (before, after) in
            [("", "hunter"), ("hunter", "22"), ("7000", "22"), ("22", "hunter"), ("hunter", "")]
        {
            // That is `"`, percent-encoded.
            if special == "%" && after == "22" {
                continue;
            }
            let password = format!("{before}{special}{after}");
            for user in ["", "app"] {
                for rest in ["h", "h:6379/0", "h/0?pool_size=2", "a,b?sentinel_master=m"] {
                    for scheme in ["redis://", "rediss://"] {
                        let text = format!("{scheme}{user}:{password}@{rest}");
                        match RedisUrl::parse(&text) {
                            Ok(url) => {
                                assert_eq!(
                                    text_of(&url.settings.credentials.password),
                                    Some(&*password),
                                    "{text}"
                                );
                                counts.0 += 1;
                            }
                            Err(error) => {
                                let error = error.to_string();
                                assert!(error.contains("percent-encode"), "{text}: {error}");
                                for part in ["hunter", "7000", "22"] {
                                    assert!(!error.contains(part), "{text}: {error}");
                                }
                                counts.1 += 1;
                            }
                        }
                        let encoded = form_urlencoded::byte_serialize(password.as_bytes());
                        let encoded = encoded.collect::<String>().replace('+', "%20");
                        let text = format!("{scheme}{user}:{encoded}@{rest}");
                        assert_eq!(
                            text_of(&parse(&text).settings.credentials.password),
                            Some(&*password),
                            "{text}"
                        );
                    }
                }
            }
        }
    }
    // Only `/`, `?` and `://` must be encoded.
    assert_eq!(counts, (12 * 80 - 32, 3 * 80));
}
