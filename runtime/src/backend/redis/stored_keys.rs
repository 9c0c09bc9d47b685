//! The keys in Redis, for the tools of operators: read in small steps, so that checks go on meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, Value};

use super::info::ServerInfo;
use super::node::Node;
use super::servers::Servers;
use super::stored_form::{self, StoredForm};
use super::{RedisBackend, key_name, remedy, slot_of};
use crate::BackendError;

/// The time within which a server answers.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The state of one subject, as far as a tool can read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredState {
    /// Nothing is stored: nothing is in use, and the subject is not banned.
    Absent,
    /// The state is stored in this form.
    Form(StoredForm),
    /// The value is one that this release cannot read.
    Unreadable,
}

/// The policy and the subject of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredKey {
    policy: Box<str>,
    subject: Box<str>,
}

impl StoredKey {
    /// Returns the policy's name. If that has braces, its hash is stored in its place.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the text by which the subject is counted, for
    /// [`Subject::counted`](crate::Subject::counted).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl RedisBackend {
    /// Returns the keys of all subjects that are counted, or of those of one policy. They are read
    /// by `SCAN`, which the user of the server must be permitted, in
    /// [steps](StoredKeys::step) between which the server serves others. A key that is there from
    /// the beginning to the end is found; it can be found twice.
    ///
    /// # Errors
    ///
    /// If the servers cannot be reached.
    pub async fn stored_keys(&self, policy: Option<&str>) -> Result<StoredKeys, BackendError> {
        let found = self.nodes().await.map_err(remedy::with_remedy)?;
        Ok(StoredKeys {
            prefix: self.key_prefix.clone(),
            pattern: key_name::pattern(&self.key_prefix, policy),
            nodes: found.into(),
            cursor: 0,
            others: 0,
        })
    }

    /// Returns the form in which a subject is counted. `subject` is the text of
    /// [`StoredKey::subject`] or [`Limiter::subject_text`](crate::Limiter::subject_text).
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    pub async fn stored_state(
        &self,
        policy: &str,
        subject: &str,
    ) -> Result<StoredState, BackendError> {
        let key = key_name::of(&self.key_prefix, policy, subject);
        let node = match self.servers.ask().await.map_err(remedy::with_remedy)? {
            Servers::Single(node) => Arc::clone(node),
            Servers::Cluster(cluster) => {
                cluster.ready().await?;
                let none = || BackendError::not_executed("no node of the cluster serves the key");
                cluster.route(slot_of(&key)).ok_or_else(none)?
            }
        };
        let mut command = redis::cmd("GETRANGE");
        command.arg(&*key).arg(0).arg(stored_form::LONGEST - 1);
        match query(&node, &command).await {
            Ok(Value::BulkString(value)) if value.is_empty() => Ok(StoredState::Absent),
            Ok(Value::BulkString(value)) => {
                Ok(StoredForm::read(&value).map_or(StoredState::Unreadable, StoredState::Form))
            }
            Ok(_) => Err(nonsense()),
            Err(error) if error.reason().contains("WRONGTYPE") => Ok(StoredState::Unreadable),
            Err(error) => Err(error),
        }
    }

    async fn nodes(&self) -> Result<Vec<Arc<Node>>, BackendError> {
        Ok(match self.servers.ask().await? {
            Servers::Single(node) => vec![Arc::clone(node)],
            Servers::Cluster(cluster) => {
                cluster.ready().await?;
                cluster.masters()
            }
        })
    }
}

/// The keys in Redis, which are read step by step.
pub struct StoredKeys {
    prefix: String,
    pattern: Vec<u8>,
    /// The servers whose keys have not all been read; the first one is being read.
    nodes: VecDeque<Arc<Node>>,
    cursor: u64,
    others: u64,
}

impl StoredKeys {
    /// Looks at about `count` keys more of one server, and returns those that are meant: none, often,
    /// if others share the server. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or if the user may not use `SCAN`.
    pub async fn step(&mut self, count: u32) -> Result<Option<Vec<StoredKey>>, BackendError> {
        let Some(node) = self.nodes.front() else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(&self.pattern[..]).arg("COUNT").arg(count.max(1));
        let (cursor, keys) = scanned(query(node, &command).await?).ok_or_else(nonsense)?;
        self.cursor = cursor;
        if cursor == 0 {
            self.nodes.pop_front();
        }
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let Value::BulkString(key) = key else { return Err(nonsense()) };
            match key_name::parts(&self.prefix, &key) {
                Some((policy, subject)) => {
                    found.push(StoredKey { policy: policy.into(), subject: subject.into() });
                }
                None if key_name::is_of_permits(&self.prefix, &key) => {}
                None => self.others += 1,
            }
        }
        Ok(Some(found))
    }

    /// Returns the number of servers whose keys have not all been read.
    #[must_use]
    pub fn servers_left(&self) -> usize {
        self.nodes.len()
    }

    /// Returns how many keys with the prefix were found that are those of no subject.
    #[must_use]
    pub const fn others(&self) -> u64 {
        self.others
    }

    /// Returns the number of keys, those of others included, on the servers that are not read yet;
    /// 0 at the end.
    ///
    /// # Errors
    ///
    /// If a server does not answer, or if the user may not use `DBSIZE`.
    pub async fn keys_on_servers(&self) -> Result<u64, BackendError> {
        let mut keys = 0;
        for node in &self.nodes {
            match query(node, &redis::cmd("DBSIZE")).await? {
                Value::Int(count) => keys += u64::try_from(count).unwrap_or(0),
                _ => return Err(nonsense()),
            }
        }
        Ok(keys)
    }

    /// Returns the time that the server whose keys come next has spent on `SCAN` so far, by its own
    /// account (`INFO commandstats`). Returns `None` at the end, and if the user may not use `INFO`.
    pub async fn time_spent(&self) -> Option<Duration> {
        let mut command = redis::cmd("INFO");
        command.arg("commandstats");
        let reply = query(self.nodes.front()?, &command).await.ok()?;
        let info = ServerInfo::from_reply(&reply)?;
        // calls=7,usec=99,…
        let mut figures = info.get("cmdstat_scan").unwrap_or("usec=0").split(',');
        let micros = figures.find_map(|figure| figure.strip_prefix("usec="))?;
        micros.parse().ok().map(Duration::from_micros)
    }

    /// Returns how long the server whose keys come next takes to answer, if it has nothing to do:
    /// what a step takes beyond it is the server's work. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    pub async fn round_trip(&self) -> Result<Option<Duration>, BackendError> {
        let Some(node) = self.nodes.front() else { return Ok(None) };
        let since = Instant::now();
        query(node, &redis::cmd("PING")).await?;
        Ok(Some(since.elapsed()))
    }
}

impl fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKeys")
            .field("servers_left", &self.nodes.len())
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

async fn query(node: &Node, command: &Cmd) -> Result<Value, BackendError> {
    node.query(command, TIMEOUT).await.map_err(remedy::with_remedy)
}

/// Returns the next cursor and the keys in the reply to `SCAN`.
fn scanned(reply: Value) -> Option<(u64, Vec<Value>)> {
    let Value::Array(parts) = reply else { return None };
    let [Value::BulkString(cursor), Value::Array(keys)] = <[Value; 2]>::try_from(parts).ok()?
    else {
        return None;
    };
    Some((std::str::from_utf8(&cursor).ok()?.parse().ok()?, keys))
}

fn nonsense() -> BackendError {
    BackendError::useless("the server's answer makes no sense")
}
