//! The HTML form for a policy's override. It is parsed from requests, and filled in for the page.

use std::str::FromStr;
use std::time::Duration;

use crate::calendar::{Calendar, CalendarPeriod};
use crate::overrides::{Origin, UnknownWord, WrittenPeriod, written_ban, written_quota};
use crate::{Algorithm, Ban, OnError, Override, Policy, Quota, duration_text};

/// The fields of a form as text. An empty field does not override the policy's declared setting.
#[derive(Default)]
pub(super) struct Form {
    pub(super) policy: String,
    /// `true` if the override is to be removed.
    pub(super) resets: bool,
    pub(super) limit: String,
    pub(super) per: String,
    pub(super) burst: String,
    pub(super) quotas: String,
    pub(super) algorithm: String,
    pub(super) shadow: String,
    pub(super) on_error: String,
    pub(super) enabled: String,
    pub(super) block: String,
    pub(super) ban: String,
    pub(super) in_flight: String,
}

impl Form {
    /// Parses the URL-encoded body of a request.
    pub(super) fn parse(body: &[u8]) -> Self {
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
                "block" => form.block = value,
                "ban" => form.ban = value,
                "in_flight" => form.in_flight = value,
                // Unknown fields are ignored.
                _ => {}
            }
        }
        form
    }

    /// Creates the form that shows a policy's present override. If `changes` is `None`, all fields
    /// except the policy's name are empty.
    pub(super) fn for_policy(policy: &Policy, changes: Option<&Override>) -> Self {
        let none = Override::new();
        let changes = changes.unwrap_or(&none);
        let Override { limit, per, burst, quotas, algorithm, shadow, on_error, .. } = changes;
        Self {
            policy: policy.name().to_owned(),
            resets: false,
            limit: text(*limit),
            per: per
                .map(duration_text::format)
                .or_else(|| calendar_text(changes))
                .unwrap_or_default(),
            burst: text(*burst),
            quotas: quotas.as_deref().map(listed).unwrap_or_default(),
            algorithm: algorithm.map_or("", Algorithm::as_str).to_owned(),
            shadow: shadow.map_or("", switch).to_owned(),
            on_error: on_error.map_or("", OnError::as_str).to_owned(),
            enabled: changes.enabled.map_or("", switch).to_owned(),
            block: changes.block.map_or("", switch).to_owned(),
            ban: changes.ban.map(ban_text).unwrap_or_default(),
            in_flight: text(changes.in_flight),
        }
    }

    /// Returns the override that the form describes. The error contains a message for each mistake.
    pub(super) fn changes(&self) -> Result<Override, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut report = |mistake| mistakes.push(mistake);
        let per = parse_field("per", &self.per, &mut report, period);
        let changes = Override {
            limit: parse_field("limit", &self.limit, &mut report, number),
            burst: parse_field("burst", &self.burst, &mut report, number),
            quotas: parse_field("quotas", &self.quotas, &mut report, quotas),
            algorithm: parse_field("algorithm", &self.algorithm, &mut report, keyword),
            shadow: parse_field("shadow", &self.shadow, &mut report, is_on),
            on_error: parse_field("on_error", &self.on_error, &mut report, keyword),
            enabled: parse_field("enabled", &self.enabled, &mut report, is_on),
            block: parse_field("block", &self.block, &mut report, is_on),
            ban: parse_field("ban", &self.ban, &mut report, ban),
            in_flight: parse_field("in_flight", &self.in_flight, &mut report, number),
            origin: Origin::default(),
            ..Override::new()
        };
        let changes = per.map_or(changes.clone(), |per| per.set(changes));
        if mistakes.is_empty() { Ok(changes) } else { Err(mistakes) }
    }
}

/// Formats quotas as the text of the form's field `quotas`, separated by commas.
pub(super) fn listed(quotas: &[Quota]) -> String {
    let texts: Vec<String> = quotas.iter().map(format_quota).collect();
    texts.join(", ")
}

/// Formats one quota, for example `100 per 1h burst 20`.
fn format_quota(quota: &Quota) -> String {
    if quota.is_blocked() {
        // A limit of 0 is how a block is written in a list.
        return "0 per 1s".to_owned();
    }
    let period = match quota.calendar_period() {
        Some(calendar) => calendar.to_string(),
        None => duration_text::format(quota.period()),
    };
    let text = format!("{} per {period}", quota.limit());
    match quota.capacity() {
        burst if burst != quota.limit() => format!("{text} burst {burst}"),
        _ => text,
    }
}

/// Formats a rule for bans, for example `after 5 for 15m`, or `off` if there is none.
fn ban_text(rule: Option<Ban>) -> String {
    rule.map_or(switch(false).to_owned(), |rule| rule.to_string())
}

pub(super) fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn text(number: Option<u32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// Parses a field. Returns `None` if it is empty, or if it contains a mistake, which is passed to
/// `report`.
fn parse_field<T>(
    key: &str,
    text: &str,
    report: &mut impl FnMut(String),
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    parse(text).map_err(|reason| report(format!("{key}: {reason}"))).ok()
}

fn number(text: &str) -> Result<u32, String> {
    let wrong = |_| format!("`{text}` is no whole number from 0 to {}", u32::MAX);
    u32::from_str(text).map_err(wrong)
}

/// Formats the unit of the calendar that an override sets, for example `month in Europe/Berlin`.
fn calendar_text(changes: &Override) -> Option<String> {
    let (calendar, zone) = changes.get_calendar()?;
    Some(match CalendarPeriod::parse(calendar, zone) {
        Ok(period) => period.to_string(),
        Err(_) => format!("{calendar} in {zone}"),
    })
}

/// Parses a length of time, or a unit of the calendar, such as `month` or `month in Europe/Berlin`.
fn period(text: &str) -> Result<WrittenPeriod, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let calendar = match words[..] {
        [unit] => Some((unit, "UTC")),
        [unit, "in", zone] => Some((unit, zone)),
        _ => None,
    };
    let unit = |word: &str| Calendar::ALL.iter().copied().find(|unit| unit.as_str() == word);
    if let Some((calendar, zone)) = calendar.and_then(|(word, zone)| Some((unit(word)?, zone))) {
        return CalendarPeriod::parse(calendar, zone)
            .map(|_| WrittenPeriod::Calendar(calendar, zone.into()));
    }
    length(text).map(WrittenPeriod::Length).map_err(|error| {
        format!("{error}, or a unit of the calendar, such as `month` or `day in Europe/Berlin`")
    })
}

fn length(text: &str) -> Result<Duration, String> {
    let seconds = u64::from_str(text).ok().map(Duration::from_secs);
    seconds.or_else(|| duration_text::parse(text)).ok_or_else(|| {
        format!(
            "`{text}` is no length of time: write whole seconds, or units from long to short, \
             such as `250ms`, `1m` or `1h30m`"
        )
    })
}

fn keyword<T: FromStr<Err = UnknownWord>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error: UnknownWord| error.to_string())
}

fn is_on(word: &str) -> Result<bool, String> {
    let on = [true, false].into_iter().find(|on| switch(*on) == word);
    on.ok_or_else(|| format!("`{word}` is none of `on`, `off`"))
}

/// Parses a rule such as `after 5 for 15m grow 2 most 1d`, or `off`.
fn ban(text: &str) -> Result<Option<Ban>, String> {
    if text == switch(false) {
        return Ok(None);
    }
    let wrong = || {
        format!("`{text}` is no rule for bans: write `after 5 for 15m grow 2 most 1d`, or `off`")
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["after", after, "for", first, rest @ ..] = &words[..] else { return Err(wrong()) };
    let (grow, most) = match rest {
        [] => (None, None),
        ["grow", grow] => (Some(grow), None),
        ["most", most] => (None, Some(most)),
        ["grow", grow, "most", most] => (Some(grow), Some(most)),
        _ => return Err(wrong()),
    };
    let grow = grow.map(|grow| number(grow)).transpose()?;
    let most = most.map(|most| length(most)).transpose()?;
    written_ban(number(after)?, length(first)?, grow, most)
        .map(Some)
        .map_err(|(part, error)| format!("`{part}`: {error}"))
}

/// Parses a list such as `5 per 1s, 100 per 1h burst 20`.
fn quotas(text: &str) -> Result<Vec<Quota>, String> {
    let one = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (limit, per, burst) = match &words[..] {
            [limit, "per", per @ .., "burst", burst] if !per.is_empty() => {
                (limit, per, Some(burst))
            }
            [limit, "per", per @ ..] if !per.is_empty() => (limit, per, None),
            _ => {
                let text = text.trim();
                return Err(format!(
                    "`{text}` is no quota: write `5 per 1m` or `5 per 1m burst 9`"
                ));
            }
        };
        let burst = burst.map(|burst| number(burst)).transpose()?;
        written_quota(number(limit)?, &period(&per.join(" "))?, burst)
            .map_err(|error| format!("`{}`: {error}", text.trim()))
    };
    text.split(',').map(one).collect()
}
