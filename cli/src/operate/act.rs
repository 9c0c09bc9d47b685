//! The commands for one subject.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::backend::{StoredForm, StoredState};
use tollgate::{Decision, NamedSubject, Policy};

use super::args::{Action, Task};
use super::place::Redis;
use super::{bare, shown, subject};
use crate::duration;

/// One subject under one policy.
pub(crate) struct One<'a> {
    redis: &'a Redis,
    policy: &'a str,
    subject: NamedSubject,
    text: String,
    json: bool,
}

/// Does what the command says.
///
/// # Errors
///
/// If it cannot be done, or if nothing is stored for the subject.
pub(crate) async fn act(
    redis: &Redis,
    task: &Task,
    output: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let subject = subject::of(&task.subject);
    let text = redis.text(&subject);
    let policy = task.policy.as_deref().unwrap_or_default();
    let one = One { redis, policy, subject, text, json: task.json };
    let state = redis.backend.stored_state(policy, &one.text).await?;
    let said = match task.action {
        Action::Ban(length) => one.ban(state, length).await?,
        Action::Reset => one.reset(state).await?,
        Action::Unban => one.unban(state).await?,
        Action::Peek | Action::Keys { .. } => one.peek(state).await?,
    };
    writeln!(output, "{said}")?;
    Ok(())
}

impl One<'_> {
    async fn peek(&self, state: StoredState) -> Result<String, Box<dyn Error>> {
        let form = self.form(state)?;
        let decision = self.look(&form.policy(self.policy)).await?;
        let ban = shown::ban(&decision);
        if self.json {
            let known = (!bare::is(&form)).then_some(&form);
            return Ok(self.object(json!({
                "form": known.map(shown::form_json),
                "banned_for": seconds(ban),
                "quotas": known.map(|form| shown::states_json(form, &decision)),
            })));
        }
        let is_bare = bare::is(&form);
        let by = if is_bare {
            "never counted".to_owned()
        } else {
            format!("by {}", shown::algorithm(&form))
        };
        let mut said = format!("{}, {by}", self.who());
        if let Some(left) = ban {
            said.push_str(&format!("\n  banned for {}", duration::shown(left)));
        }
        let states = if is_bare { Vec::new() } else { shown::states(&form, &decision) };
        for state in states {
            said.push_str(&format!("\n  {state}"));
        }
        Ok(said)
    }

    async fn reset(&self, state: StoredState) -> Result<String, Box<dyn Error>> {
        let policy = match state {
            StoredState::Absent => return Err(self.absent()),
            StoredState::Form(form) => form.policy(self.policy),
            // It is deleted, whatever it is.
            _ => bare::policy(self.policy),
        };
        let before = self.look(&policy).await.ok().as_ref().and_then(shown::ban);
        self.redis.limiter.reset(&policy, &self.subject).await?;
        if self.json {
            return Ok(self.object(json!({ "reset": true, "was_banned_for": seconds(before) })));
        }
        let ban = before.map_or(String::new(), |left| {
            format!(" It was banned for {} more.", duration::shown(left))
        });
        Ok(format!("{}: forgotten.{ban}", self.who()))
    }

    async fn ban(&self, state: StoredState, length: Duration) -> Result<String, Box<dyn Error>> {
        let policy = match state {
            StoredState::Absent => bare::policy(self.policy),
            other => self.form(other)?.policy(self.policy),
        };
        self.redis.limiter.ban(&policy, &self.subject, length).await?;
        let left = shown::ban(&self.look(&policy).await?).unwrap_or_default();
        if self.json {
            return Ok(self.object(json!({ "banned_for": left.as_secs_f64() })));
        }
        // A ban that ends later stays.
        let longer =
            if left > length { " It was banned for longer before, and stays so." } else { "" };
        Ok(format!("{}: banned for {}.{longer}", self.who(), duration::shown(left)))
    }

    async fn unban(&self, state: StoredState) -> Result<String, Box<dyn Error>> {
        let policy = self.form(state)?.policy(self.policy);
        let was_banned = self.redis.limiter.unban(&policy, &self.subject).await?;
        if self.json {
            return Ok(self.object(json!({ "was_banned": was_banned })));
        }
        let said =
            if was_banned { "no longer banned. What it used stays" } else { "it was not banned" };
        Ok(format!("{}: {said}.", self.who()))
    }

    async fn look(&self, policy: &Policy) -> Result<Decision, Box<dyn Error>> {
        Ok(self.redis.limiter.peek(policy, &self.subject, 1).await?)
    }

    fn form(&self, state: StoredState) -> Result<StoredForm, Box<dyn Error>> {
        match state {
            StoredState::Form(form) => Ok(form),
            StoredState::Absent => Err(self.absent()),
            _ => Err(format!(
                "{}: its state is none that this release reads. Use the command of the release that \
                 counts it, or delete it by `tollgate reset`",
                self.who()
            )
            .into()),
        }
    }

    fn absent(&self) -> Box<dyn Error> {
        format!(
            "{}: nothing is stored, so nothing is in use. If that surprises you: `tollgate keys` \
             lists the policies, and `tollgate keys {}` the subjects of this one",
            self.who(),
            shown::plain(self.policy),
        )
        .into()
    }

    fn who(&self) -> String {
        format!("{}, subject {}", shown::plain(self.policy), shown::plain(&self.text))
    }

    fn object(&self, more: Value) -> String {
        let mut object = json!({ "policy": self.policy, "subject": self.text });
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object.to_string()
    }
}

fn seconds(span: Option<Duration>) -> Option<f64> {
    span.map(|span| span.as_secs_f64())
}
