//! A subject, named on the command line by the parts of its key.

use std::io::{self, BufRead};
use std::net::IpAddr;

use tollgate::{NamedSubject, Subject};

/// A part of a subject, as an option names it.
pub(crate) enum Part {
    Ip(IpAddr),
    Header(String, String),
    Cookie(String, String),
    Query(String, String),
    PathParam(String, String),
    /// A value of `args(…)`.
    Argument(String),
    /// The text that a function or an extension returns.
    Value(String),
    Global,
    Missing,
    /// The text by which the subject is counted.
    Counted(String),
}

impl Part {
    /// The options that name a part, and if each has a value.
    pub(crate) const OPTIONS: [(&'static str, bool); 10] = [
        ("ip", true),
        ("header", true),
        ("cookie", true),
        ("query", true),
        ("path-param", true),
        ("arg", true),
        ("value", true),
        ("global", false),
        ("missing", false),
        ("subject", true),
    ];

    /// Reads an option's value.
    ///
    /// # Errors
    ///
    /// A text that says the mistake, and what to write.
    pub(crate) fn read(option: &str, value: String) -> Result<Self, String> {
        let pair = || {
            let (name, value) = value.split_once('=').ok_or_else(|| {
                format!("--{option} takes a name and a value: --{option} NAME=VALUE")
            })?;
            Ok::<_, String>((name.to_owned(), value.to_owned()))
        };
        Ok(match option {
            "ip" => Self::Ip(value.parse().map_err(|_| {
                let network = value.contains('/');
                let hint =
                    if network { "; a network that is counted as one is --subject" } else { "" };
                format!("`{value}` is no address: write --ip 192.0.2.1 or --ip 2001:db8::1{hint}")
            })?),
            "header" | "cookie" => {
                let (name, value) = if value.contains('=') {
                    pair()?
                } else {
                    (value.clone(), from_input(&value)?)
                };
                match option {
                    "header" => Self::Header(name, value),
                    _ => Self::Cookie(name, value),
                }
            }
            "query" => pair().map(|(name, value)| Self::Query(name, value))?,
            "path-param" => pair().map(|(name, value)| Self::PathParam(name, value))?,
            "arg" => Self::Argument(value),
            "value" => Self::Value(value),
            "global" => Self::Global,
            "missing" => Self::Missing,
            _ => Self::Counted(value),
        })
    }

    fn named(&self) -> NamedSubject {
        match self {
            Self::Ip(address) => Subject::ip(*address),
            Self::Header(name, value) => Subject::header(name, value),
            Self::Cookie(name, value) => Subject::cookie(name, value),
            Self::Query(name, value) => Subject::query(name, value),
            Self::PathParam(name, value) => Subject::path_param(name, value),
            Self::Argument(value) => Subject::args([value]),
            Self::Value(text) => text.as_str().into(),
            Self::Global => Subject::global(),
            Self::Missing => Subject::without_key(),
            Self::Counted(text) => Subject::counted(text),
        }
    }
}

/// Returns the subject of these parts, in the order of the key.
pub(crate) fn of(parts: &[Part]) -> NamedSubject {
    match parts {
        [part] => part.named(),
        parts => Subject::all(parts.iter().map(Part::named)),
    }
}

/// Reads a value from standard input, so that a credential is in no list of processes.
fn from_input(name: &str) -> Result<String, String> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    let read = read.map_err(|error| format!("cannot read the value of `{name}`: {error}"))?;
    if read == 0 {
        return Err(format!(
            "the value of `{name}` is missing: write it to standard input, or {name}=VALUE"
        ));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
