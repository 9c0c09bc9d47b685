//! The findings, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::backend::StoredForm;
use tollgate::{Algorithm, Decision, Outcome, Quota, QuotaState};

use crate::duration;

/// Returns the algorithm by its name; those that store the same have one.
pub(crate) fn algorithm(form: &StoredForm) -> String {
    names(form).join("/")
}

/// Writes a form: `sliding_window 100/1m, 1000/1h`.
pub(crate) fn form(form: &StoredForm) -> String {
    let quotas: Vec<String> = form.quotas().iter().map(quota).collect();
    format!("{} {}", algorithm(form), quotas.join(", "))
}

pub(crate) fn form_json(form: &StoredForm) -> Value {
    let quotas: Vec<Value> = form.quotas().iter().map(quota_json).collect();
    json!({ "algorithms": names(form), "quotas": quotas })
}

fn names(form: &StoredForm) -> Vec<&'static str> {
    form.algorithms().iter().copied().map(Algorithm::as_str).collect()
}

fn quota(quota: &Quota) -> String {
    let burst = match quota.capacity() {
        capacity if capacity == quota.limit() => String::new(),
        capacity => format!(" with a burst of {capacity}"),
    };
    let period = match quota.get_calendar() {
        Some((unit, zone)) => format!("{unit} in {zone}"),
        None => duration::exact(quota.period()),
    };
    format!("{}/{period}{burst}", quota.limit())
}

fn quota_json(quota: &Quota) -> Value {
    json!({
        "limit": quota.limit(),
        "period": quota.period().as_secs_f64(),
        "calendar": quota.get_calendar().map(|(unit, zone)| [unit.as_str(), zone]),
        "burst": quota.capacity(),
    })
}

/// Returns the time for which the subject is still banned.
pub(crate) fn ban(decision: &Decision) -> Option<Duration> {
    match decision.outcome() {
        Outcome::Banned { retry_after } => Some(retry_after),
        _ => None,
    }
}

/// Writes the state of each quota, a line each.
pub(crate) fn states(form: &StoredForm, decision: &Decision) -> Vec<String> {
    let states = form.quotas().iter().zip(decision.quotas());
    states.map(|(of, state)| format!("{}: {}", quota(of), rest(state))).collect()
}

fn rest(state: &QuotaState) -> String {
    let mut text = format!("{} left", state.remaining());
    let (more, all) = (state.more_after(), state.reset_after());
    if !more.is_zero() && more < all {
        text.push_str(&format!(", more in {}", duration::shown(more)));
    }
    if !all.is_zero() {
        text.push_str(&format!(", all in {}", duration::shown(all)));
    }
    text
}

pub(crate) fn states_json(form: &StoredForm, decision: &Decision) -> Vec<Value> {
    let states = form.quotas().iter().zip(decision.quotas()).map(|(of, state)| {
        let mut object = quota_json(of);
        object["remaining"] = state.remaining().into();
        object["retry_after"] = state.retry_after().map(|wait| wait.as_secs_f64()).into();
        object["reset_after"] = state.reset_after().as_secs_f64().into();
        object
    });
    states.collect()
}

/// Returns text that others chose, so that it does not steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
