//! The key: it says whose requests are counted.

/// The key of a limit, so far as a log can tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Ip,
    User,
    Path,
    Agent,
    Global,
    /// A field that the log or `--fields` names.
    Field(String),
}

impl Key {
    /// # Errors
    ///
    /// If the field has addresses that are counted by `ip`; it says how.
    pub(crate) fn of(name: &str) -> Result<Self, String> {
        if is_forwarded(name) {
            return Err(format!(
                "--key {name} would count whole lists of addresses, which clients can begin as they \
                 like: leave it out, and name your proxies by --trusted-proxies and the field by \
                 --forwarded {name}"
            ));
        }
        Ok(match name {
            "ip" => Self::Ip,
            "user" => Self::User,
            "path" => Self::Path,
            "agent" => Self::Agent,
            "global" => Self::Global,
            field => Self::Field(field.to_owned()),
        })
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ip => "ip",
            Self::User => "user",
            Self::Path => "path",
            Self::Agent => "agent",
            Self::Global => "global",
            Self::Field(field) => field,
        }
    }

    /// Returns the word for those that it tells apart.
    pub(crate) fn plural(&self) -> &'static str {
        match self {
            Self::Ip => "clients",
            Self::User => "users",
            Self::Path => "paths",
            Self::Agent => "agents",
            Self::Global | Self::Field(_) => "subjects",
        }
    }
}

/// Returns `true` for the header by which proxies pass on addresses, as logs write its name.
fn is_forwarded(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let last = last.strip_prefix("request_").unwrap_or(last).to_ascii_lowercase().replace('-', "_");
    matches!(last.as_str(), "x_forwarded_for" | "http_x_forwarded_for" | "cs(x_forwarded_for)")
}
