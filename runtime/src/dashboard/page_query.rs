//! The query parameters of the page.

use axum::http::Uri;

#[derive(Default)]
pub(super) struct PageQuery {
    /// `true` if only the parts that update themselves are requested.
    pub(super) live: bool,
    /// The text of the search field. Only policies whose names contain it are shown.
    pub(super) find: String,
    /// The name of the policy that a form has just changed; `None` if the page is not shown after a
    /// change.
    pub(super) changed: Option<String>,
}

impl PageQuery {
    /// Parses the query of a URI. The path is ignored, so the page works at any path.
    pub(super) fn parse(uri: &Uri) -> Self {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "live" => query.live = true,
                "find" => query.find = value.trim().to_owned(),
                "changed" => query.changed = Some(value.into_owned()),
                _ => {}
            }
        }
        query
    }

    /// Returns the relative URL to redirect to after the policy has been changed.
    pub(super) fn redirect_after_change(&self, policy: &str) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
        if !self.find.is_empty() {
            query.append_pair("find", &self.find);
        }
        query.append_pair("changed", policy).finish()
    }
}
