//! A page on which an operator sees the limits at work, and may change them.

mod asked;
mod change;
mod chart;
mod figures;
mod headers;
mod known;
mod origin;
mod page;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use askama::Template as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::asked::Asked;
use self::change::Form;
use self::headers::{Headers, headers};
use self::known::Known;
use self::page::{Page, Said};
use crate::{Limiter, Override};

/// More than any form of the page sends.
const MAX_BODY: usize = 16 * 1024;

#[doc = include_str!("../docs/dashboard.md")]
pub struct Dashboard {
    limiter: Limiter,
    shows_subjects: bool,
    allows_changes: bool,
    /// What hashes of subjects are made with, so that nobody finds an address by trying all.
    secret: [u8; 16],
}

impl Dashboard {
    /// A dashboard of this limiter, which counts for it from now on. It shows hashes instead of
    /// subjects, and allows no changes.
    #[must_use]
    pub fn new(limiter: &Limiter) -> Self {
        limiter.tally();
        // Each has keys of its own, which come from the operating system.
        let random = || RandomState::new().build_hasher().finish();
        let secret = u128::from(random()) << 64 | u128::from(random());
        Self {
            limiter: limiter.clone(),
            shows_subjects: false,
            allows_changes: false,
            secret: secret.to_be_bytes(),
        }
    }

    /// Whether subjects are shown as they are counted: addresses, and what key functions gave.
    /// Credentials are hashes in any case.
    #[must_use]
    pub fn show_subjects(mut self, on: bool) -> Self {
        self.shows_subjects = on;
        self
    }

    /// Whether who sees the page may also override what policies say.
    #[must_use]
    pub fn allow_changes(mut self, on: bool) -> Self {
        self.allows_changes = on;
        self
    }

    /// The page, to be nested at any path, behind what says who may see it.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let served = Arc::new(Served { headers: headers(), dashboard: self });
        Router::new()
            .route("/", get(show).post(change))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(served)
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shows_subjects, allows_changes, .. } = self;
        f.debug_struct("Dashboard")
            .field("shows_subjects", shows_subjects)
            .field("allows_changes", allows_changes)
            .finish_non_exhaustive()
    }
}

struct Served {
    dashboard: Dashboard,
    headers: Headers,
}

async fn show(State(served): State<Arc<Served>>, uri: Uri) -> Response {
    served.page(StatusCode::OK, &Asked::by(&uri), None, None)
}

async fn change(
    State(served): State<Arc<Served>>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let asked = Asked::by(&uri);
    let refuse = |said: &str| {
        let said = Some(Said::mistakes([said.to_owned()]));
        served.page(StatusCode::FORBIDDEN, &asked, said, None)
    };
    if !served.dashboard.allows_changes {
        return refuse(
            "Changes are not allowed here: whoever runs this service allows them by \
             `Dashboard::allow_changes`.",
        );
    }
    if !origin::is_own(&headers, &uri) {
        return refuse(
            "This did not come from this page, as the browser tells it, so nothing was changed. \
             Who sends it without a browser says `Sec-Fetch-Site: same-origin`.",
        );
    }
    let form = Form::read(&body);
    match served.dashboard.apply(&form) {
        Ok(()) => {
            let location = asked.after_change(&form.policy);
            (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
        }
        Err(mistakes) => {
            let said = Some(Said::mistakes(mistakes));
            served.page(StatusCode::UNPROCESSABLE_ENTITY, &asked, said, Some(form))
        }
    }
}

impl Served {
    fn page(
        &self,
        status: StatusCode,
        asked: &Asked,
        said: Option<Said>,
        sent: Option<Form>,
    ) -> Response {
        match Page::of(&self.dashboard, asked, said, sent).render() {
            Ok(html) => (status, self.headers.clone(), html).into_response(),
            Err(error) => {
                tracing::error!(%error, "the dashboard cannot be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

impl Dashboard {
    /// Does what a form says, or tells what is wrong with it.
    fn apply(&self, form: &Form) -> Result<(), Vec<String>> {
        let known = Known::all(&self.limiter);
        if !known.get(form.policy.as_str()).is_some_and(Known::can_change) {
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
            let told = |mistake: &crate::OverrideMistake| match mistake.key() {
                Some(key) if mistake.policy() == form.policy => {
                    format!("{key}: {}", mistake.reason())
                }
                _ => mistake.to_string(),
            };
            error.mistakes().iter().map(told).collect()
        })
    }
}
