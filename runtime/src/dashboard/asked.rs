//! What the address of the page says.

use axum::http::Uri;

#[derive(Default)]
pub(super) struct Asked {
    /// Only the parts that change by themselves are wanted.
    pub(super) live: bool,
    /// Part of the names of the policies that are wanted.
    pub(super) find: String,
    /// The policy that has just been changed.
    pub(super) changed: Option<String>,
}

impl Asked {
    /// All is in the query, so that the page finds itself wherever it is nested.
    pub(super) fn by(uri: &Uri) -> Self {
        let mut asked = Self::default();
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "live" => asked.live = true,
                "find" => asked.find = value.trim().to_owned(),
                "changed" => asked.changed = Some(value.into_owned()),
                _ => {}
            }
        }
        asked
    }

    /// Where to go when the policy has been changed, from wherever the page is.
    pub(super) fn after_change(&self, policy: &str) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
        if !self.find.is_empty() {
            query.append_pair("find", &self.find);
        }
        query.append_pair("changed", policy).finish()
    }
}
