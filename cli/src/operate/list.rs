//! Lists of what is counted: the policies with their quotas, or their subjects.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::time::Instant;

use indicatif::HumanCount;
use serde_json::json;
use tollgate::backend::{StoredForm, StoredKey, StoredState};
use tollgate::{Policy, Subject};

use super::args::Task;
use super::distinct::Distinct;
use super::pace::Work;
use super::place::Redis;
use super::walk::Walk;
use super::{bare, shown};
use crate::duration;

/// The number of states that are read at a time.
const AT_ONCE: usize = 32;

/// Lists the policies, or the subjects of one, or those that are banned.
///
/// # Errors
///
/// If a server does not answer, or permits too little.
pub(crate) async fn list(
    redis: &Redis,
    (task, banned): (&Task, bool),
    output: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let policy = task.policy.as_deref();
    let keys = redis.backend.stored_keys(policy).await?;
    let mut list = List {
        redis,
        json: task.json,
        walk: Walk::new(keys, task.share).await,
        distinct: Distinct::default(),
        policies: BTreeMap::new(),
    };
    while let Some(mut found) = list.walk.next().await? {
        found.retain(|key| list.distinct.insert(key));
        for key in &found {
            list.count(key).await?;
        }
        match (banned, policy) {
            (true, _) => list.write_banned(&found, output).await?,
            (false, Some(_)) => list.write_subjects(&found, output)?,
            (false, None) => {}
        }
    }
    list.finish(policy, banned, output)
}

struct List<'a> {
    redis: &'a Redis,
    json: bool,
    walk: Walk,
    distinct: Distinct,
    policies: BTreeMap<Box<str>, Counted>,
}

/// A policy, as it was found.
#[derive(Default)]
struct Counted {
    keys: u64,
    /// The form of the first of its states that could be read.
    form: Option<StoredForm>,
    /// The number of states that were read in vain.
    unread: u32,
    /// The number of those that were banned before they were ever counted.
    bare: u32,
    banned: u64,
}

impl Counted {
    /// So many states of a policy are looked at for its form.
    const MOST_LOOKS: u32 = 3;

    /// Returns a policy by which its subjects can be looked at. Bans are the same in all forms.
    fn policy(&self, name: &str) -> Policy {
        self.form.as_ref().map_or_else(|| bare::policy(name), |form| form.policy(name))
    }
}

impl List<'_> {
    async fn count(&mut self, key: &StoredKey) -> Result<(), Box<dyn Error>> {
        let counted = self.policies.entry(key.policy().into()).or_default();
        counted.keys += 1;
        if counted.form.is_some() || counted.unread + counted.bare >= Counted::MOST_LOOKS {
            return Ok(());
        }
        let since = Instant::now();
        match self.redis.backend.stored_state(key.policy(), key.subject()).await? {
            // It tells nothing of the others.
            StoredState::Form(form) if bare::is(&form) => counted.bare += 1,
            StoredState::Form(form) => counted.form = Some(form),
            // It has expired meanwhile.
            StoredState::Absent => {}
            _ => counted.unread += 1,
        }
        self.walk.took(Work::Reading, 1, since.elapsed());
        Ok(())
    }

    fn write_subjects(
        &self,
        found: &[StoredKey],
        output: &mut impl Write,
    ) -> Result<(), Box<dyn Error>> {
        self.walk.aside(|| {
            for key in found {
                match self.json {
                    true => writeln!(output, "{}", json!({ "subject": key.subject() }))?,
                    false => writeln!(output, "{}", shown::plain(key.subject()))?,
                }
            }
            output.flush()
        })?;
        Ok(())
    }

    /// Looks at each of these, and writes those that are banned.
    async fn write_banned(
        &mut self,
        found: &[StoredKey],
        output: &mut impl Write,
    ) -> Result<(), Box<dyn Error>> {
        for some in found.chunks(AT_ONCE) {
            let since = Instant::now();
            let mut lines = Vec::new();
            for (key, left) in self.banned(some).await? {
                if let Some(counted) = self.policies.get_mut(key.policy()) {
                    counted.banned += 1;
                }
                let (policy, subject) = (key.policy(), key.subject());
                lines.push(match self.json {
                    true => json!({
                        "policy": policy, "subject": subject, "banned_for": left.as_secs_f64(),
                    })
                    .to_string(),
                    false => format!(
                        "{}  {}  {}",
                        duration::shown(left),
                        shown::plain(policy),
                        shown::plain(subject)
                    ),
                });
            }
            // There are few, so the number fits.
            self.walk.took(Work::Reading, some.len() as u32, since.elapsed());
            self.walk.aside(|| {
                for line in lines {
                    writeln!(output, "{line}")?;
                }
                output.flush()
            })?;
        }
        Ok(())
    }

    /// Returns those that are banned, with the time left. All are asked for at once.
    async fn banned<'k>(
        &self,
        keys: &'k [StoredKey],
    ) -> Result<Vec<(&'k StoredKey, std::time::Duration)>, Box<dyn Error>> {
        let peeks = keys.iter().map(|key| {
            let none = Counted::default();
            let counted = self.policies.get(key.policy()).unwrap_or(&none);
            let (limiter, policy) = (self.redis.limiter.clone(), counted.policy(key.policy()));
            let subject = Subject::counted(key.subject());
            tokio::spawn(async move { limiter.peek(&policy, subject, 0).await })
        });
        let peeks: Vec<_> = peeks.collect();
        let mut banned = Vec::new();
        for (key, peek) in keys.iter().zip(peeks) {
            if let Some(left) = shown::ban(&peek.await??) {
                banned.push((key, left));
            }
        }
        Ok(banned)
    }

    fn finish(
        &self,
        policy: Option<&str>,
        banned: bool,
        output: &mut impl Write,
    ) -> Result<(), Box<dyn Error>> {
        let others = self.walk.others();
        if others > 0 {
            eprintln!(
                "tollgate keys: {} keys begin with the prefix and are those of no subject",
                HumanCount(others)
            );
        }
        if self.distinct.is_full() {
            eprintln!("tollgate keys: so many keys that some may have been counted twice");
        }
        if let Some(policy) = policy
            && self.policies.is_empty()
        {
            return Err(format!(
                "{}: nobody is counted; `tollgate keys` lists the policies that count somebody",
                shown::plain(policy)
            )
            .into());
        }
        if banned {
            let banned: u64 = self.policies.values().map(|counted| counted.banned).sum();
            let keys: u64 = self.policies.values().map(|counted| counted.keys).sum();
            eprintln!("tollgate keys: {} of {} are banned", HumanCount(banned), HumanCount(keys));
        } else if policy.is_none() {
            self.write_policies(output)?;
        }
        Ok(())
    }

    fn write_policies(&self, output: &mut impl Write) -> std::io::Result<()> {
        if self.json {
            for (name, counted) in &self.policies {
                let form = counted.form.as_ref().map(shown::form_json);
                let line = json!({ "policy": name, "keys": counted.keys, "form": form });
                writeln!(output, "{line}")?;
            }
            return Ok(());
        }
        if self.policies.is_empty() {
            eprintln!(
                "tollgate keys: nobody is counted here; is it the right database and --prefix?"
            );
            return Ok(());
        }
        let names = self.policies.keys().map(|name| name.chars().count());
        let width = names.max().unwrap_or_default().max("policy".len());
        writeln!(output, "{:width$}  {:>13}  form of one", "policy", "subjects")?;
        for (name, counted) in &self.policies {
            let form = match &counted.form {
                Some(form) => shown::form(form),
                None if counted.unread > 0 => "none that this release reads".to_owned(),
                None if counted.bare > 0 => "banned before they were counted".to_owned(),
                None => "expired meanwhile".to_owned(),
            };
            let keys = HumanCount(counted.keys).to_string();
            writeln!(output, "{:width$}  {keys:>13}  {form}", shown::plain(name))?;
        }
        Ok(())
    }
}
