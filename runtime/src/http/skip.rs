//! Requests that a layer does not count, by their path or their method.

use axum::http::Method;
use axum::http::request::Parts;

/// Paths and methods that a layer does not count.
#[derive(Clone, Debug, Default)]
pub(super) struct Skip {
    paths: Vec<String>,
    /// Prefixes of paths, each of which ends in a slash.
    prefixes: Vec<String>,
    methods: Vec<Method>,
}

impl Skip {
    /// Adds a path or, if it ends in `/*`, all paths below it.
    pub(super) fn path(&mut self, path: String) {
        match path.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('/') => self.prefixes.push(prefix.to_owned()),
            _ => self.paths.push(path),
        }
    }

    pub(super) fn method(&mut self, method: Method) {
        self.methods.push(method);
    }

    #[inline]
    pub(super) fn contains(&self, parts: &Parts) -> bool {
        // Most layers count all requests.
        let Self { paths, prefixes, methods } = self;
        let is_empty = paths.is_empty() && prefixes.is_empty() && methods.is_empty();
        !is_empty && self.has(parts)
    }

    fn has(&self, parts: &Parts) -> bool {
        let path = parts.uri.path();
        self.methods.contains(&parts.method)
            || self.paths.iter().any(|skipped| skipped == path)
            || self.prefixes.iter().any(|prefix| path.starts_with(prefix) && is_below(path))
    }
}

/// Returns `true` if the path stays below its prefix. Returns `false` if a server might resolve it
/// to a path outside the prefix, as in `/static/../login`, also with escapes such as `%2e`.
fn is_below(path: &str) -> bool {
    !["/.", "//", "\\", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C"]
        .into_iter()
        .any(|odd| path.contains(odd))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn skips(skip: &Skip, method: Method, uri: &str) -> bool {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        skip.contains(&request.into_parts().0)
    }

    #[test]
    fn paths_prefixes_and_methods() {
        let mut skip = Skip::default();
        skip.path("/health".to_owned());
        skip.path("/static/*".to_owned());
        skip.method(Method::OPTIONS);
        let get = |uri| skips(&skip, Method::GET, uri);
        for uri in ["/health", "/health?x=1", "/static/", "/static/a/b.css", "/static/a%20b"] {
            assert!(get(uri), "{uri}");
        }
        for uri in [
            "/",
            "/healthy",
            "/health/",
            "/Health",
            "/static",
            "/statics",
            "/static/../login",
            "/static/%2e%2e/login",
            "/static/%2E./login",
            "/static//login",
            "/static/..%2flogin",
            "/static/..%5Clogin",
            "/login?next=/static/",
        ] {
            assert!(!get(uri), "{uri}");
        }
        assert!(skips(&skip, Method::OPTIONS, "/login"));
        assert!(!skips(&Skip::default(), Method::OPTIONS, "/"));
    }
}
