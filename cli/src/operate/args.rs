//! The command line of the commands for a Redis.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use super::subject::Part;
use crate::duration;

pub(crate) const HELP: &str = "\
Looks at what is counted in a Redis, and changes it.

Usage: tollgate keys [POLICY] [--banned] [OPTIONS]
       tollgate peek POLICY SUBJECT [OPTIONS]
       tollgate reset POLICY SUBJECT [OPTIONS]
       tollgate ban POLICY SUBJECT --for DURATION [OPTIONS]
       tollgate unban POLICY SUBJECT [OPTIONS]

  keys     how many subjects each policy counts, and its quotas; of one policy: its subjects
  peek     what a subject has left, and if it is banned
  reset    forgets all that a subject has used, and its ban
  ban      refuses all requests of a subject for a time
  unban    ends a subject's ban; what it has used stays

POLICY is the name of the limit, which `tollgate keys` lists. SUBJECT are the parts of its key, in
the order of the key:

      --ip ADDRESS               key = ip
      --header NAME[=VALUE]      key = header(NAME); the value is hashed as the limiter does
      --cookie NAME[=VALUE]      key = cookie(NAME)
      --query NAME=VALUE         key = query(NAME)
      --path-param NAME=VALUE    key = path_param(NAME)
      --arg VALUE                a value of key = args(…)
      --value TEXT               the text that a function or an extension returns
      --global                   key = global
      --missing                  the requests without this part, if they are counted together
      --subject TEXT             the whole subject, as `tollgate keys`, logs or the dashboard show it
  Without =VALUE, the value of a header or a cookie is a line of standard input.

OPTIONS
  -r, --redis URL      the Redis, as the library takes it: redis://host:6379/0, several hosts for a
                       cluster, ?sentinel_master=NAME (TOLLGATE_BACKEND__URL, or REDIS_URL)
  -c, --config FILE    the service's configuration, with the URL and what subjects depend on: the
                       pepper, hashed subjects, the prefix of IPv6
      --prefix PREFIX  the prefix of the keys (tollgate:)
      --for DURATION   how long to ban: 15m, 1h30m, 7d
      --banned         only subjects that are banned, with the time left
      --share PERCENT  the part of a server's time that `keys` may take (1)
      --json           JSON, an object a line

Exit status: 0 if it is done; 1 if not, or if nothing is stored for the subject; 2 if the command
line is wrong.
";

/// The thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Keys { banned: bool },
    Peek,
    Reset,
    Ban(Duration),
    Unban,
}

/// A command, as it was given.
pub(crate) struct Task {
    pub(crate) action: Action,
    pub(crate) policy: Option<String>,
    pub(crate) subject: Vec<Part>,
    pub(crate) place: Place,
    /// A part of 1.
    pub(crate) share: f64,
    pub(crate) json: bool,
}

/// The Redis that is meant.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) url: Option<String>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) prefix: Option<String>,
}

/// Reads the command line behind the command's name. Returns `None` if it asks for help.
///
/// # Errors
///
/// A text that says the mistake, and what is accepted in its place.
pub(crate) fn read(
    command: &str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Option<Task>, lexopt::Error> {
    let (mut policy, mut subject, mut place) = (None, Vec::new(), Place::default());
    let (mut json, mut share, mut length, mut banned) = (false, None, None, false);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Short('r') | Arg::Long("redis") => place.url = Some(parser.value()?.string()?),
            Arg::Short('c') | Arg::Long("config") => place.config = Some(parser.value()?.into()),
            Arg::Long("prefix") => place.prefix = Some(parser.value()?.string()?),
            Arg::Long("for") => length = Some(span(&parser.value()?.string()?)?),
            Arg::Long("share") => share = Some(part(&parser.value()?.string()?)?),
            Arg::Long("banned") => banned = true,
            Arg::Long("json") => json = true,
            Arg::Long(name) => {
                let Some((name, has_value)) =
                    Part::OPTIONS.iter().find(|(known, _)| *known == name)
                else {
                    return Err(arg.unexpected());
                };
                let value = if *has_value { parser.value()?.string()? } else { String::new() };
                subject.push(Part::read(name, value)?);
            }
            Arg::Value(name) if policy.is_none() => policy = Some(name.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    let only = |option: &str, command: &str| Err(format!("{option} is for `tollgate {command}`"));
    let action = match (command, length) {
        ("keys", None) => Action::Keys { banned },
        ("peek", None) => Action::Peek,
        ("reset", None) => Action::Reset,
        ("unban", None) => Action::Unban,
        ("ban", Some(length)) => Action::Ban(length),
        ("ban", None) => return Err("how long? Add --for 1h".into()),
        (_, Some(_)) => return Ok(only("--for", "ban")?),
        (other, None) => return Err(format!("no command is called {other}").into()),
    };
    if matches!(action, Action::Keys { .. }) {
        if !subject.is_empty() {
            return Err("`tollgate keys` lists all subjects; `tollgate peek` looks at one".into());
        }
    } else {
        if banned {
            return Ok(only("--banned", "keys")?);
        }
        if share.is_some() {
            return Ok(only("--share", "keys")?);
        }
        if policy.is_none() {
            return Err("of which POLICY? `tollgate keys` lists them".into());
        }
        if subject.is_empty() {
            return Err("which SUBJECT? Name the parts of its key, such as --ip 192.0.2.1".into());
        }
    }
    Ok(Some(Task { action, policy, subject, place, share: share.unwrap_or(0.01), json }))
}

fn span(text: &str) -> Result<Duration, String> {
    duration::parse(text).filter(|span| !span.is_zero()).ok_or_else(|| {
        format!("`{text}` is no duration: write 15m, 1h30m or 7d, the longest unit first")
    })
}

fn part(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').parse().ok();
    let percent = percent.filter(|percent: &f64| *percent > 0.0 && *percent <= 100.0);
    let percent = percent.ok_or_else(|| format!("`{text}` is no percentage: write --share 1"))?;
    Ok(percent / 100.0)
}
