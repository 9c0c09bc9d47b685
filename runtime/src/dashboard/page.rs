//! The page: the data that its template shows.

use askama::Template;
use smol_str::{SmolStr, ToSmolStr as _};

use super::Dashboard;
use super::figures::{Decisions, Durations, Rates, state};
use super::form::{Form, listed, switch};
use super::known::KnownPolicy;
use super::page_query::PageQuery;
use crate::stats::BreakerState;
use crate::subject::Subject;
use crate::{Algorithm, OnError, Override, Policy};

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("script.js");

/// The largest number of policies on the page. It is bounded because the page is redrawn each
/// second. The search field finds the other policies.
const MAX_CARDS: usize = 100;
const MAX_REFUSED: usize = 10;
/// The number of characters of a displayed hash. This is enough to distinguish a few subjects.
const HASH_LEN: usize = 12;

#[derive(Template)]
#[template(path = "dashboard.html")]
pub(super) struct Page {
    style: &'static str,
    script: &'static str,
    /// `true` if only the parts that update themselves are rendered.
    live: bool,
    find: String,
    notice: Option<Notice>,
    state: Vec<(&'static str, String)>,
    /// `true` if the circuit breaker is open or half-open, because the store has failed.
    is_open: bool,
    rates: Rates,
    durations: Option<Durations>,
    top_refused: Vec<RefusedRow>,
    shows_subjects: bool,
    cards: Vec<Card>,
    /// The number of policies that match the search but are not shown.
    more: usize,
    algorithms: Vec<&'static str>,
    modes: Vec<&'static str>,
    switches: [&'static str; 2],
}

/// A message about a submitted form.
pub(super) struct Notice {
    is_mistake: bool,
    lines: Vec<String>,
}

/// A row in the table of the subjects refused most.
struct RefusedRow {
    policy: SmolStr,
    /// The subject, or its hash if subjects are not shown.
    subject: SmolStr,
    times: u64,
}

/// A policy as the page shows it.
struct Card {
    name: SmolStr,
    quotas: String,
    algorithm: &'static str,
    on_error: &'static str,
    is_enabled: bool,
    is_shadow: bool,
    is_blocked: bool,
    is_overridden: bool,
    /// The rule by which subjects are banned; empty if there is none.
    ban: String,
    /// The quotas and the algorithm that the program declares.
    declared: String,
    places: Vec<SmolStr>,
    rates: Rates,
    /// `None` if the policy cannot be changed on this page.
    form: Option<Form>,
    /// `true` if the form has been submitted with mistakes.
    is_submitted: bool,
    /// `true` if the form has the field `quotas`, which contains all quotas of the policy.
    has_quotas_field: bool,
    limits_in_flight: bool,
    /// The number of permits that requests in flight hold in this process.
    held: u64,
}

impl Notice {
    pub(super) fn mistakes(lines: impl IntoIterator<Item = String>) -> Self {
        Self { is_mistake: true, lines: lines.into_iter().collect() }
    }

    fn changed(policy: &str) -> Self {
        let line = format!("{policy} has been changed, and is kept so from now on.");
        Self { is_mistake: false, lines: vec![line] }
    }
}

impl Page {
    pub(super) fn new(
        dashboard: &Dashboard,
        query: &PageQuery,
        notice: Option<Notice>,
        mut submitted: Option<Form>,
    ) -> Self {
        let limiter = &dashboard.limiter;
        let (tally, known, stats) = (limiter.tally(), KnownPolicy::all(limiter), limiter.stats());
        let overrides = limiter.overrides();
        let is_changed = |name: &&str| known.contains_key(*name) && overrides.get(name).is_some();
        let changed = query.changed.as_deref().filter(is_changed);
        let decisions = Decisions::of(tally);
        let mut found: Vec<_> =
            known.iter().filter(|(name, _)| name.contains(&query.find)).collect();
        let more = found.len().saturating_sub(MAX_CARDS);
        found.truncate(MAX_CARDS);
        let cards = found.into_iter().map(|(name, known)| {
            let submitted = submitted.take_if(|form| form.policy == *name);
            dashboard.card(known, overrides.get(name), decisions.by_policy(name), submitted)
        });
        let cards = cards.collect();
        let refused = tally.top_refused(MAX_REFUSED).into_iter().map(|it| RefusedRow {
            subject: dashboard.shown(&it.subject),
            policy: it.policy,
            times: it.times,
        });
        Self {
            style: STYLE,
            script: SCRIPT,
            live: query.live,
            find: query.find.clone(),
            notice: notice.or(changed.map(Notice::changed)),
            state: state(&stats),
            is_open: stats.breaker.is_some_and(|breaker| breaker.state != BreakerState::Closed),
            rates: decisions.all,
            durations: Durations::of(tally),
            top_refused: refused.collect(),
            shows_subjects: dashboard.shows_subjects,
            cards,
            more,
            algorithms: Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect(),
            modes: OnError::ALL.iter().map(|mode| mode.as_str()).collect(),
            switches: [true, false].map(switch),
        }
    }
}

/// Returns what the program declares of a policy.
fn written(policy: &Policy) -> String {
    let written = limits(policy);
    let written = match policy.quotas() {
        [] => written,
        _ => format!("{written}, {}", policy.get_algorithm().as_str()),
    };
    match policy.get_ban() {
        Some(rule) => format!("{written}, bans {rule}"),
        None => written,
    }
}

/// Returns the quotas of a policy, and its limit on requests in flight.
fn limits(policy: &Policy) -> String {
    let quotas = (!policy.quotas().is_empty()).then(|| listed(policy.quotas()));
    let in_flight = policy.get_in_flight().map(|it| it.to_string());
    let limits: Vec<String> = quotas.into_iter().chain(in_flight).collect();
    limits.join(", ")
}

impl Dashboard {
    fn card(
        &self,
        known: &KnownPolicy,
        changes: Option<&Override>,
        rates: Rates,
        submitted: Option<Form>,
    ) -> Card {
        let declared = &known.policy;
        let effective = self.limiter.effective_policy(declared);
        let is_submitted = submitted.is_some();
        let form = (self.allows_changes && known.is_declared())
            .then(|| submitted.unwrap_or_else(|| Form::for_policy(declared, changes)));
        Card {
            name: declared.name().to_smolstr(),
            quotas: limits(&effective),
            algorithm: match effective.quotas() {
                [] => "",
                _ => effective.get_algorithm().as_str(),
            },
            on_error: self.limiter.on_error(&effective).as_str(),
            is_enabled: effective.is_enabled(),
            is_shadow: effective.is_shadow(),
            is_blocked: effective.is_blocked(),
            is_overridden: changes.is_some(),
            ban: effective.get_ban().map(|rule| rule.to_string()).unwrap_or_default(),
            declared: written(declared),
            places: known.places.clone(),
            rates,
            has_quotas_field: declared.quotas().len() != 1
                || changes.is_some_and(|changes| changes.quotas.is_some())
                || form.as_ref().is_some_and(|form| !form.quotas.is_empty()),
            limits_in_flight: declared.get_in_flight().is_some(),
            held: self.held_under(declared.name()),
            form,
            is_submitted,
        }
    }

    /// Returns the number of permits that requests in flight hold in this process under a policy.
    fn held_under(&self, name: &str) -> u64 {
        let mut sum = 0;
        self.limiter.each_permit_held(&mut |policy, held| {
            sum += if policy == name { u64::from(held) } else { 0 };
        });
        sum
    }

    /// Returns the subject as the page shows it: in clear text, or as the beginning of its hash
    /// with this dashboard's secret key.
    fn shown(&self, subject: &SmolStr) -> SmolStr {
        if self.shows_subjects {
            return subject.clone();
        }
        let hash = Subject::secret(&[&self.secret, subject.as_bytes()].concat());
        hash.as_str().get(..HASH_LEN).unwrap_or_default().into()
    }
}
