//! The page, in the words of its template.

use askama::Template;
use smol_str::{SmolStr, ToSmolStr as _};

use super::Dashboard;
use super::asked::Asked;
use super::change::{Form, listed, switch};
use super::figures::{Decided, Rates, Times, state};
use super::known::Known;
use crate::subject::Subject;
use crate::{Algorithm, BreakerState, OnError, Override};

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("script.js");

/// More would be slow to draw each second; the rest are found by their names.
const MAX_CARDS: usize = 100;
const MOST_REFUSED: usize = 10;
/// Enough of a hash to tell a few people apart.
const HASH_LEN: usize = 12;

#[derive(Template)]
#[template(path = "dashboard.html")]
pub(super) struct Page {
    style: &'static str,
    script: &'static str,
    /// Only what changes by itself.
    live: bool,
    find: String,
    said: Option<Said>,
    state: Vec<(&'static str, String)>,
    /// Whether the store is left alone, for it fails.
    is_open: bool,
    rates: Rates,
    times: Option<Times>,
    most_refused: Vec<Refused>,
    shows_subjects: bool,
    cards: Vec<Card>,
    /// How many policies are not shown.
    more: usize,
    algorithms: Vec<&'static str>,
    modes: Vec<&'static str>,
    switches: [&'static str; 2],
}

/// What the page says of what has been done.
pub(super) struct Said {
    is_mistake: bool,
    lines: Vec<String>,
}

/// Somebody who was refused often.
struct Refused {
    policy: SmolStr,
    who: SmolStr,
    times: u64,
}

/// A policy.
struct Card {
    name: SmolStr,
    quotas: String,
    algorithm: &'static str,
    on_error: &'static str,
    is_enabled: bool,
    is_shadow: bool,
    is_overridden: bool,
    /// As the program has it.
    written: String,
    places: Vec<SmolStr>,
    rates: Rates,
    /// If it can be changed here.
    form: Option<Form>,
    /// Whether the form has been sent, and was wrong.
    is_sent: bool,
    /// Whether the form says all quotas in one field.
    says_quotas: bool,
}

impl Said {
    pub(super) fn mistakes(lines: impl IntoIterator<Item = String>) -> Self {
        Self { is_mistake: true, lines: lines.into_iter().collect() }
    }

    fn changed(policy: &str) -> Self {
        let line = format!("{policy} has been changed, and is kept so from now on.");
        Self { is_mistake: false, lines: vec![line] }
    }
}

impl Page {
    pub(super) fn of(
        dashboard: &Dashboard,
        asked: &Asked,
        said: Option<Said>,
        mut sent: Option<Form>,
    ) -> Self {
        let limiter = &dashboard.limiter;
        let (tally, known, stats) = (limiter.tally(), Known::all(limiter), limiter.stats());
        let overrides = limiter.overrides();
        let changed = asked.changed.as_deref().filter(|name| known.contains_key(*name));
        let decided = Decided::of(tally);
        let mut found: Vec<_> =
            known.iter().filter(|(name, _)| name.contains(&asked.find)).collect();
        let more = found.len().saturating_sub(MAX_CARDS);
        found.truncate(MAX_CARDS);
        let cards = found.into_iter().map(|(name, known)| {
            let sent = sent.take_if(|form| form.policy == *name);
            dashboard.card(known, overrides.get(name), decided.by(name), sent)
        });
        let cards = cards.collect();
        let refused = tally.top_refused(MOST_REFUSED).into_iter().map(|it| Refused {
            who: dashboard.shown(&it.subject),
            policy: it.policy,
            times: it.times,
        });
        Self {
            style: STYLE,
            script: SCRIPT,
            live: asked.live,
            find: asked.find.clone(),
            said: said.or(changed.map(Said::changed)),
            state: state(&stats),
            is_open: stats.breaker.is_some_and(|breaker| breaker.state != BreakerState::Closed),
            rates: decided.all,
            times: Times::of(tally),
            most_refused: refused.collect(),
            shows_subjects: dashboard.shows_subjects,
            cards,
            more,
            algorithms: Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect(),
            modes: OnError::ALL.iter().map(|mode| mode.name()).collect(),
            switches: [true, false].map(switch),
        }
    }
}

impl Dashboard {
    fn card(
        &self,
        known: &Known,
        changes: Option<&Override>,
        rates: Rates,
        sent: Option<Form>,
    ) -> Card {
        let written = &known.policy;
        let current = self.limiter.current(written);
        let is_sent = sent.is_some();
        let form = (self.allows_changes && known.can_change())
            .then(|| sent.unwrap_or_else(|| Form::of(written, changes)));
        Card {
            name: written.name().to_smolstr(),
            quotas: listed(current.quotas()),
            algorithm: current.get_algorithm().name(),
            on_error: self.limiter.on_error(&current).name(),
            is_enabled: current.is_enabled(),
            is_shadow: current.is_shadow(),
            is_overridden: changes.is_some(),
            written: format!("{}, {}", listed(written.quotas()), written.get_algorithm().name()),
            places: known.places.clone(),
            rates,
            says_quotas: written.quotas().len() > 1
                || changes.is_some_and(|changes| changes.quotas.is_some())
                || form.as_ref().is_some_and(|form| !form.quotas.is_empty()),
            form,
            is_sent,
        }
    }

    /// A subject, or a hash of it that only this dashboard makes.
    fn shown(&self, subject: &SmolStr) -> SmolStr {
        if self.shows_subjects {
            return subject.clone();
        }
        let hash = Subject::secret(&[&self.secret, subject.as_bytes()].concat());
        hash.as_str().get(..HASH_LEN).unwrap_or_default().into()
    }
}
