//! A web page on which operators monitor the limits and, if allowed, override them.

mod chart;
mod figures;
mod form;
mod headers;
mod known;
mod origin;
mod page;
mod page_query;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use askama::Template as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::form::Form;
use self::headers::{HTML, Headers, headers};
use self::known::KnownPolicy;
use self::page::{Notice, Page};
use self::page_query::PageQuery;
use crate::{Limiter, Override};

/// The largest accepted body of a request, in bytes. The forms of the page are smaller.
const MAX_BODY: usize = 16 * 1024;

#[doc = include_str!("../docs/dashboard.md")]
#[derive(Clone)]
pub struct Dashboard {
    limiter: Limiter,
    shows_subjects: bool,
    allows_changes: bool,
    /// The names under which the page is served; `None` if it is served under every name.
    hosts: Option<Vec<String>>,
    /// The secret key of the hashes that are shown in place of subjects. Without it, an address
    /// could be found by hashing all possible addresses.
    secret: [u8; 16],
}

impl Dashboard {
    /// Creates a dashboard of this limiter. From then on, the limiter counts its decisions for the
    /// dashboard. By default, the dashboard shows hashes in place of subjects and allows no
    /// changes.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        limiter.tally();
        // Each `RandomState` has keys of its own, derived from randomness of the operating system.
        let random = || RandomState::new().build_hasher().finish();
        let secret = u128::from(random()) << 64 | u128::from(random());
        Self {
            limiter,
            shows_subjects: false,
            allows_changes: false,
            hosts: None,
            secret: secret.to_be_bytes(),
        }
    }

    /// Shows subjects in clear text if `on` is `true`, and their hashes if it is `false`, the
    /// default. Subjects are addresses and the results of key functions. Credentials are always
    /// hashed.
    #[must_use]
    pub fn show_subjects(mut self, on: bool) -> Self {
        self.shows_subjects = on;
        self
    }

    /// Allows users of the page to override policies if `on` is `true`. The default is `false`.
    ///
    /// Guard the page by credentials, and not by the network alone: a site that an operator has
    /// open can give its own name the address of this service, and then sends requests from within
    /// the network. Browsers do not send it the credentials of this page. Set
    /// [`hosts`](Self::hosts), too.
    #[must_use]
    pub fn allow_changes(mut self, on: bool) -> Self {
        self.allows_changes = on;
        self
    }

    /// Serves the page only under these names, such as `limits.example`, or `limits.example:8080` for
    /// that port alone. Requests under other names are answered 421. By default the page is served
    /// under every name, also one that another site has given to the address of this service.
    #[must_use]
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Returns a router that serves the page. Nest it at any path, behind a layer that restricts
    /// access: by `Router::nest_service`, so that the path with a slash at its end works, too.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let served = Arc::new(Served { headers: headers(), dashboard: self });
        Router::new()
            .route("/", get(show).post(change))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn_with_state(Arc::clone(&served), guard))
            .with_state(served)
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shows_subjects, allows_changes, hosts, .. } = self;
        f.debug_struct("Dashboard")
            .field("shows_subjects", shows_subjects)
            .field("allows_changes", allows_changes)
            .field("hosts", hosts)
            .finish_non_exhaustive()
    }
}

struct Served {
    dashboard: Dashboard,
    headers: Headers,
}

/// Refuses requests under other names, and adds the header fields to every response.
async fn guard(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let host = origin::host(request.headers(), request.uri());
    let hosts = served.dashboard.hosts.as_ref();
    let mut response = match hosts.is_none_or(|hosts| origin::is_one_of(host, hosts)) {
        true => next.run(request).await,
        false => StatusCode::MISDIRECTED_REQUEST.into_response(),
    };
    for (name, value) in &served.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn show(State(served): State<Arc<Served>>, uri: Uri) -> Response {
    served.page(StatusCode::OK, &PageQuery::parse(&uri), None, None)
}

async fn change(
    State(served): State<Arc<Served>>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let query = PageQuery::parse(&uri);
    let refuse = |reason: &str| {
        let notice = Some(Notice::mistakes([reason.to_owned()]));
        served.page(StatusCode::FORBIDDEN, &query, notice, None)
    };
    if !served.dashboard.allows_changes {
        return refuse(
            "Changes are not allowed here: whoever runs this service allows them by \
             `Dashboard::allow_changes`.",
        );
    }
    if !origin::is_own(&headers, origin::host(&headers, &uri)) {
        return refuse(
            "This did not come from this page, as the browser tells it, so nothing was changed. \
             Who sends it without a browser says `Sec-Fetch-Site: same-origin`.",
        );
    }
    let form = Form::parse(&body);
    match served.dashboard.apply(&form) {
        Ok(()) => {
            let location = query.redirect_after_change(&form.policy);
            (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
        }
        Err(mistakes) => {
            let notice = Some(Notice::mistakes(mistakes));
            served.page(StatusCode::UNPROCESSABLE_ENTITY, &query, notice, Some(form))
        }
    }
}

impl Served {
    fn page(
        &self,
        status: StatusCode,
        query: &PageQuery,
        notice: Option<Notice>,
        submitted: Option<Form>,
    ) -> Response {
        match Page::new(&self.dashboard, query, notice, submitted).render() {
            Ok(html) => (status, [HTML], html).into_response(),
            Err(error) => {
                tracing::error!(%error, "the dashboard cannot be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

impl Dashboard {
    /// Applies a form to the limiter's overrides. The error contains a message for each mistake in
    /// the form.
    fn apply(&self, form: &Form) -> Result<(), Vec<String>> {
        let known = KnownPolicy::all(&self.limiter);
        if !known.get(form.policy.as_str()).is_some_and(KnownPolicy::is_declared) {
            return Err(vec![format!("There is no policy `{}` that can be changed.", form.policy)]);
        }
        let changes = if form.resets { Override::new() } else { form.changes()? };
        let update = self.limiter.update_overrides(|overrides| {
            if changes == Override::new() {
                overrides.without(&form.policy)
            } else {
                overrides.with(form.policy.as_str(), changes)
            }
        });
        update.map_err(|error| {
            let text = |mistake: &crate::overrides::OverrideMistake| match mistake.key() {
                Some(key) if mistake.policy() == form.policy => {
                    format!("{key}: {}", mistake.reason())
                }
                _ => mistake.to_string(),
            };
            error.mistakes().iter().map(text).collect()
        })
    }
}
