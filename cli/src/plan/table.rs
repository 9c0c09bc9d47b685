//! What the replay found, to be read.

use std::io::{self, Write};

use indicatif::HumanCount;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::args::Plan;
use super::counters::Lost;
use super::log::Malformed;
use super::replay::{Replay, Replayed, share};
use super::sketch::Distinct;

/// # Errors
///
/// If `output` takes no more.
pub(crate) fn write(
    output: &mut impl Write,
    plan: &Plan,
    replay: &Replay,
    malformed: &Malformed,
    late: u64,
) -> io::Result<()> {
    let plural = plan.key.plural();
    writeln!(output, "{}", summary(plan, replay))?;
    if malformed.count > 0 {
        let count = HumanCount(malformed.count);
        write!(output, "  malformed lines, left out: {count}\n{malformed}")?;
    }
    if replay.without_subject > 0 {
        let (count, key) = (HumanCount(replay.without_subject), plan.key.name());
        writeln!(output, "  requests without the key {key}, left out: {count}")?;
    }
    if replay.without_zone > 0 {
        let (count, zone) = (HumanCount(replay.without_zone), zone(plan.zone));
        writeln!(output, "  requests whose times have no zone, read as {zone}: {count}")?;
    }
    if late > 0 {
        let count = HumanCount(late);
        writeln!(output, "  lines far behind their time, left out: {count}")?;
    }
    if replay.requests == 0 {
        return Ok(());
    }

    let refused = format!("{plural} refused");
    writeln!(output, "\n{:34} {:>13} {:>13} {:>7}  {refused}", "limit", "requests", "refused", "")?;
    for policy in &replay.policies {
        writeln!(
            output,
            "{:34} {:>13} {:>13} {:>7}  {} of {} ({})",
            policy.name(),
            HumanCount(replay.requests).to_string(),
            HumanCount(policy.refused).to_string(),
            percent(share(policy.refused, replay.requests)),
            count(&policy.subjects_refused),
            count(&replay.subjects),
            percent(share(policy.subjects_refused.count(), replay.subjects.count())),
        )?;
    }

    if plan.top > 0 && replay.policies.iter().any(|policy| policy.refused > 0) {
        writeln!(output, "\nMost refused")?;
        for policy in &replay.policies {
            most_refused(output, policy, plan.top)?;
        }
    }
    bounds(output, plan, replay)
}

fn summary(plan: &Plan, replay: &Replay) -> String {
    let requests = HumanCount(replay.requests);
    let Some((first, last)) = replay.span else {
        return format!("{}: no requests to replay", plan.log.display());
    };
    let is_mixed = replay.formats.len() > 1;
    let formats = replay.formats.iter().map(|(name, count)| match is_mixed {
        true => format!("{name} {}", HumanCount(*count)),
        false => (*name).to_owned(),
    });
    let formats = formats.collect::<Vec<_>>().join(", ");
    format!(
        "{}: {requests} requests of {} {} ({formats}), {} to {}",
        plan.log.display(),
        count(&replay.subjects),
        plan.key.plural(),
        instant(first),
        instant(last),
    )
}

fn most_refused(output: &mut impl Write, policy: &Replayed, top: usize) -> io::Result<()> {
    if policy.refused == 0 {
        return Ok(());
    }
    let short_by = policy.most_refused.short_by;
    let note = match short_by {
        0 => String::new(),
        short_by => format!(" (each at least; at most {} more)", HumanCount(short_by)),
    };
    writeln!(output, "  {}{note}", policy.name())?;
    for (subject, refused) in policy.most_refused.top(top) {
        writeln!(output, "    {:>13}  {}", HumanCount(refused).to_string(), shown(subject))?;
    }
    Ok(())
}

/// Whether there was room for everybody.
fn bounds(output: &mut impl Write, plan: &Plan, replay: &Replay) -> io::Result<()> {
    let plural = plan.key.plural();
    let mut hit = false;
    for policy in &replay.policies {
        let Lost { evicted, overflowed } = policy.counters.lost();
        if evicted == 0 && overflowed == 0 {
            continue;
        }
        if !hit {
            hit = true;
            writeln!(
                output,
                "\nThe {} MiB were full. Evicted are {plural} who had used least, or all of a \
                 limit if they took too\nmuch; who comes back is counted anew, so that fewer are \
                 refused. What overflows is counted\ntogether, so that more are refused. Raise \
                 --memory, or try fewer limits",
                plan.memory_mib,
            )?;
        }
        writeln!(
            output,
            "  {:34} evicted {}, overflowed {}; room for {}",
            policy.name(),
            HumanCount(evicted),
            HumanCount(overflowed),
            HumanCount(policy.counters.room as u64),
        )?;
    }
    Ok(())
}

fn count(distinct: &Distinct) -> String {
    let about = if distinct.is_exact() { "" } else { "about " };
    format!("{about}{}", HumanCount(distinct.count()))
}

pub(crate) fn percent(share: f64) -> String {
    // Few are not none.
    if share > 0.0 && share < 0.05 { "<0.1%".to_owned() } else { format!("{share:.1}%") }
}

pub(crate) fn instant(micros: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let time = i64::try_from(micros / 1_000_000).ok();
    let time = time.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let shown = time.and_then(|time| time.format(format).ok());
    shown.unwrap_or_else(|| format!("{micros} µs"))
}

/// Returns text that a client sent, so that it does not steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Returns a time zone as in `UTC`, or `UTC+02:00`.
pub(crate) fn zone(zone: UtcOffset) -> String {
    let (hours, minutes, _) = zone.as_hms();
    let sign = if zone.is_negative() { '-' } else { '+' };
    if zone.is_utc() {
        return "UTC".to_owned();
    }
    format!("UTC{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
}
