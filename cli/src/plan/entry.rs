//! A line of a log, in whatever format it was.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::Value;

use super::instant::Instant;

/// A request. What the log leaves out is `None`; `-` counts as left out.
pub(crate) struct Entry<'a> {
    pub(crate) time: Instant,
    /// The other end of the connection: an address with or without a port, or a host's name.
    pub(crate) peer: Option<Cow<'a, str>>,
    pub(crate) user: Option<Cow<'a, str>>,
    /// The target of the request, with its query.
    pub(crate) target: Option<Cow<'a, str>>,
    pub(crate) agent: Option<Cow<'a, str>>,
    pub(crate) fields: Fields<'a>,
}

/// All else that a line has.
pub(crate) enum Fields<'a> {
    None,
    /// Fields that have no names in the log, and the names that they mostly have.
    Unnamed(Vec<&'a str>, &'static [&'static str]),
    /// Columns, of which the log's head has the names.
    Columns(Vec<&'a str>, Rc<[Box<str>]>),
    Json(Value),
}

impl<'a> Entry<'a> {
    pub(crate) fn new(time: Instant) -> Self {
        let (peer, user, target, agent) = (None, None, None, None);
        Self { time, peer, user, target, agent, fields: Fields::None }
    }

    pub(crate) fn peer(mut self, peer: &'a str) -> Self {
        self.peer = present(peer);
        self
    }

    pub(crate) fn user(mut self, user: &'a str) -> Self {
        self.user = present(user);
        self
    }

    /// Takes the target of a request line such as `GET /items HTTP/1.1`.
    pub(crate) fn request(self, request: &'a str) -> Self {
        self.target(request.split(' ').nth(1).unwrap_or_default())
    }

    pub(crate) fn target(mut self, target: &'a str) -> Self {
        self.target = present(target);
        self
    }

    pub(crate) fn agent(mut self, agent: &'a str) -> Self {
        self.agent = present(agent);
        self
    }

    pub(crate) fn fields(mut self, fields: Fields<'a>) -> Self {
        self.fields = fields;
        self
    }

    /// Returns a field by its name. `names` are those that the user gives to fields without one.
    pub(crate) fn field(&self, name: &str, names: Option<&[String]>) -> Option<Cow<'_, str>> {
        match &self.fields {
            Fields::None => None,
            Fields::Unnamed(values, usual) => {
                let at = match names {
                    Some(names) => names.iter().position(|known| known == name),
                    None => usual.iter().position(|known| *known == name),
                };
                present(values.get(at?)?)
            }
            Fields::Columns(values, names) => {
                let at = names.iter().position(|known| known.eq_ignore_ascii_case(name));
                present(values.get(at?)?)
            }
            Fields::Json(line) => shown(json_field(line, name)?),
        }
    }
}

/// Returns the text, unless it says that there is none.
pub(crate) fn present(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty() && text != "-").then_some(Cow::Borrowed(text))
}

/// Returns the field of that name, or else the one that its dots lead to.
pub(crate) fn json_field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get(name).or_else(|| name.split('.').try_fold(line, |value, part| value.get(part)))
}

/// Returns a value as text. Values of a header that came several times are one list.
pub(crate) fn shown(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => present(text),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string().into()),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            (!values.is_empty()).then(|| values.join(", ").into())
        }
        Value::Null | Value::Object(_) => None,
    }
}
