//! Mistakes are told, with what to do.

use support::redis::{RedisServer, ask};

use crate::command::says;

#[test]
fn of_the_command_line() {
    for (arguments, expected) in [
        (&["peek"][..], "of which POLICY? `tollgate keys` lists them"),
        (&["peek", "login"], "which SUBJECT? Name the parts of its key, such as --ip 192.0.2.1"),
        (&["ban", "login", "--ip", "192.0.2.1"], "how long? Add --for 1h"),
        (&["ban", "login", "--ip", "192.0.2.1", "--for", "90"], "`90` is no duration: write 15m"),
        (&["ban", "login", "--ip", "192.0.2.1", "--for", "0s"], "`0s` is no duration"),
        (&["peek", "login", "--for", "1h"], "--for is for `tollgate ban`"),
        (&["peek", "login", "--ip", "192.0.2.1", "--banned"], "--banned is for `tollgate keys`"),
        (
            &["reset", "login", "--ip", "192.0.2.1", "--share", "2"],
            "--share is for `tollgate keys`",
        ),
        (&["keys", "login", "--ip", "192.0.2.1"], "`tollgate peek` looks at one"),
        (&["keys", "--share", "0"], "`0` is no percentage: write --share 1"),
        (&["peek", "login", "--ip", "home"], "`home` is no address: write --ip 192.0.2.1"),
        (
            &["peek", "login", "--ip", "2001:db8::/64"],
            "a network that is counted as one is --subject",
        ),
        (
            &["peek", "login", "--query", "ann"],
            "--query takes a name and a value: --query NAME=VALUE",
        ),
        (&["peek", "login", "--adress", "192.0.2.1"], "invalid option '--adress'"),
        (&["peek", "login", "ann"], "unexpected argument \"ann\""),
    ] {
        let said = says(arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.error);
        assert!(said.error.contains(expected), "{arguments:?}: {}", said.error);
        assert!(said.error.contains(" --help says what there is\n"), "{}", said.error);
        assert!(said.output.is_empty());
    }
    for command in ["keys", "peek", "reset", "ban", "unban"] {
        let help = says(&[command, "--help"]);
        assert!(help.code == Some(0) && help.output.contains("tollgate unban POLICY SUBJECT"));
    }
}

#[test]
fn of_the_place() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let url = server.url();
    let gone = format!("redis://127.0.0.1:{}", support::redis::free_port());
    for (redis, expected) in [
        (
            &[][..],
            "which Redis? Name it by --redis redis://host:6379/0, by REDIS_URL, or by --config",
        ),
        (&["--redis", "http://host"], "redis://"),
        (&["--redis", &gone], "Connection refused"),
        (&["--redis", &url], "it wants a password: write `redis://:password@host`"),
        (&["--config", "missing.toml"], "missing.toml"),
    ] {
        for command in [&["keys"][..], &["peek", "login", "--ip", "192.0.2.1"]] {
            let said = says(&[command, redis].concat());
            assert_eq!(said.code, Some(1), "{redis:?}: {}", said.output);
            assert!(said.error.contains(expected), "{redis:?}: {}", said.error);
            assert!(!said.error.contains("s3cret"), "{}", said.error);
        }
    }
}

/// A user who may do what the service does may not list the keys; the right is named.
#[test]
fn of_rights() {
    let server = RedisServer::start();
    let mut connection = server.connection();
    let user = "ACL SETUSER operator on >pw ~tollgate:* -@all +evalsha +script|load +hello +ping \
                +del +get +getrange +pexpire +set +setrange +time";
    ask::<()>(&mut connection, user);
    let url = format!("redis://operator:pw@127.0.0.1:{}", server.port);
    let said = says(&["ban", "login", "--ip", "192.0.2.1", "--for", "1h", "--redis", &url]);
    assert_eq!(said.code, Some(0), "{}", said.error);
    let said = says(&["keys", "--redis", &url]);
    assert_eq!(said.code, Some(1), "{}", said.output);
    assert!(said.error.contains("Grant it by `ACL SETUSER … +scan`"), "{}", said.error);
    ask::<()>(&mut connection, "ACL SETUSER operator +scan");
    let said = says(&["keys", "--redis", &url]);
    assert_eq!(said.code, Some(0), "{}", said.error);
}
