//! What the form of a policy says, in both directions.

use std::str::FromStr;
use std::time::Duration;

use crate::overrides::quota;
use crate::{Algorithm, OnError, Override, Policy, Quota, duration_text};

/// The words of a form. What is empty stays as the program has it.
#[derive(Default)]
pub(super) struct Form {
    pub(super) policy: String,
    /// Whether it says to drop the override.
    pub(super) resets: bool,
    pub(super) limit: String,
    pub(super) per: String,
    pub(super) burst: String,
    pub(super) quotas: String,
    pub(super) algorithm: String,
    pub(super) shadow: String,
    pub(super) on_error: String,
    pub(super) enabled: String,
}

impl Form {
    /// What was sent.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (key, value) in form_urlencoded::parse(body) {
            let value = value.trim().to_owned();
            match &*key {
                "policy" => form.policy = value,
                "action" => form.resets = value == "reset",
                "limit" => form.limit = value,
                "per" => form.per = value,
                "burst" => form.burst = value,
                "quotas" => form.quotas = value,
                "algorithm" => form.algorithm = value,
                "shadow" => form.shadow = value,
                "on_error" => form.on_error = value,
                "enabled" => form.enabled = value,
                // Some other form's.
                _ => {}
            }
        }
        form
    }

    /// What is said of a policy now.
    pub(super) fn of(policy: &Policy, changes: Option<&Override>) -> Self {
        let none = Override::new();
        let Override { limit, per, burst, quotas, algorithm, shadow, on_error, enabled } =
            changes.unwrap_or(&none);
        Self {
            policy: policy.name().to_owned(),
            resets: false,
            limit: text(*limit),
            per: per.map(duration_text::format).unwrap_or_default(),
            burst: text(*burst),
            quotas: quotas.as_deref().map(listed).unwrap_or_default(),
            algorithm: algorithm.map_or("", Algorithm::name).to_owned(),
            shadow: shadow.map_or("", switch).to_owned(),
            on_error: on_error.map_or("", OnError::name).to_owned(),
            enabled: enabled.map_or("", switch).to_owned(),
        }
    }

    /// What it says, or all that is wrong with it.
    pub(super) fn changes(&self) -> Result<Override, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut note = |mistake| mistakes.push(mistake);
        let changes = Override {
            limit: read("limit", &self.limit, &mut note, number),
            per: read("per", &self.per, &mut note, period),
            burst: read("burst", &self.burst, &mut note, number),
            quotas: read("quotas", &self.quotas, &mut note, quotas),
            algorithm: read("algorithm", &self.algorithm, &mut note, |word| {
                one_of(word, Algorithm::ALL, Algorithm::name)
            }),
            shadow: read("shadow", &self.shadow, &mut note, |word| {
                one_of(word, &[true, false], switch)
            }),
            on_error: read("on_error", &self.on_error, &mut note, |word| {
                one_of(word, OnError::ALL, OnError::name)
            }),
            enabled: read("enabled", &self.enabled, &mut note, |word| {
                one_of(word, &[true, false], switch)
            }),
        };
        if mistakes.is_empty() { Ok(changes) } else { Err(mistakes) }
    }
}

/// Quotas as they are written in the form.
pub(super) fn listed(quotas: &[Quota]) -> String {
    let texts: Vec<String> = quotas.iter().map(worded).collect();
    texts.join(", ")
}

/// One of them.
fn worded(quota: &Quota) -> String {
    let text = format!("{} per {}", quota.limit(), duration_text::format(quota.period()));
    match quota.capacity() {
        burst if burst != quota.limit() => format!("{text} burst {burst}"),
        _ => text,
    }
}

pub(super) fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn text(number: Option<u32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// What a field says, if anything; `note` is told what is wrong with it.
fn read<T>(
    key: &str,
    text: &str,
    note: &mut impl FnMut(String),
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    parse(text).map_err(|reason| note(format!("{key}: {reason}"))).ok()
}

fn number(text: &str) -> Result<u32, String> {
    let wrong = |_| format!("`{text}` is no whole number from 1 to {}", u32::MAX);
    u32::from_str(text).map_err(wrong)
}

fn period(text: &str) -> Result<Duration, String> {
    let seconds = u64::from_str(text).ok().map(Duration::from_secs);
    seconds.or_else(|| duration_text::parse(text)).ok_or_else(|| {
        format!(
            "`{text}` is no length of time: write whole seconds, or units from long to short, \
             such as `250ms`, `1m` or `1h30m`"
        )
    })
}

fn one_of<T: Copy>(word: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    all.iter().copied().find(|it| name(*it) == word).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|it| format!("`{}`", name(*it))).collect();
        format!("`{word}` is none of {}", names.join(", "))
    })
}

/// `5 per 1s, 100 per 1h burst 20`.
fn quotas(text: &str) -> Result<Vec<Quota>, String> {
    let one = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (limit, per, burst) = match words[..] {
            [limit, "per", per] => (limit, per, None),
            [limit, "per", per, "burst", burst] => (limit, per, Some(burst)),
            _ => {
                let text = text.trim();
                return Err(format!(
                    "`{text}` is no quota: write `5 per 1m` or `5 per 1m burst 9`"
                ));
            }
        };
        let burst = burst.map(number).transpose()?;
        quota(number(limit)?, period(per)?, burst)
            .map_err(|error| format!("`{}`: {error}", text.trim()))
    };
    text.split(',').map(one).collect()
}
