//! A cluster: which node serves which slot, and where checks go when that changes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::Value;
use tokio::time::{Instant, timeout_at};

use super::connect::{Access, Place, Source};
use super::failure::Failure;
use super::job::Job;
use super::lane::Lane;
use crate::{BackendError, Clock};

const SLOTS: usize = 16_384;

/// How long a node may take to say which slots it knows.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was learnt so recently is not asked again.
const FRESH: Duration = Duration::from_millis(50);

pub(super) struct Cluster {
    itself: Weak<Self>,
    access: Access,
    virtual_time: Option<Arc<dyn Clock>>,
    seeds: Vec<(String, u16)>,
    nodes: Mutex<HashMap<(String, u16), Arc<Lane>>>,
    slots: ArcSwap<Slots>,
    /// When the slots were last learnt.
    learnt: tokio::sync::Mutex<Option<Instant>>,
}

/// The way to the node of each slot; empty before they are known.
type Slots = Vec<Option<Arc<Lane>>>;

impl Cluster {
    pub(super) fn new(
        access: Access,
        seeds: Vec<(String, u16)>,
        virtual_time: Option<Arc<dyn Clock>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            access,
            virtual_time,
            seeds,
            nodes: Mutex::default(),
            slots: ArcSwap::default(),
            learnt: tokio::sync::Mutex::default(),
        })
    }

    /// The way to the node that serves a slot, as far as is known.
    pub(super) fn route(&self, slot: u16) -> Option<Arc<Lane>> {
        self.slots.load().get(usize::from(slot))?.clone()
    }

    /// The nodes that serve slots.
    pub(super) fn masters(&self) -> Vec<Arc<Lane>> {
        let mut masters: Vec<Arc<Lane>> = Vec::new();
        for lane in self.slots.load().iter().flatten() {
            if !masters.iter().any(|known| Arc::ptr_eq(known, lane)) {
                masters.push(Arc::clone(lane));
            }
        }
        masters
    }

    pub(super) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Learns the slots if nobody has yet.
    pub(super) async fn ready(&self) -> Result<(), BackendError> {
        if !self.slots.load().is_empty() {
            return Ok(());
        }
        // Boxed, so that no check carries along what only the first one needs.
        let learning: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(self.learn());
        learning.await
    }

    /// Asks the nodes, one after the other, which of them serves which slots.
    pub(super) async fn learn(&self) -> Result<(), BackendError> {
        let mut learnt = self.learnt.lock().await;
        if learnt.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let mut addresses: Vec<(String, u16)> =
            self.nodes.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        addresses.extend(
            self.seeds.iter().filter(|seed| !addresses.contains(seed)).cloned().collect::<Vec<_>>(),
        );
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let mut failure = BackendError::not_executed("no node of the cluster is known");
        for address in addresses {
            match self.lane(&address).ask(&command, PATIENCE).await {
                Ok(value) => match self.slots_of(&value, &address.0) {
                    Some(slots) => {
                        self.slots.store(Arc::new(slots));
                        *learnt = Some(Instant::now());
                        self.forget_others();
                        return Ok(());
                    }
                    None => {
                        failure = BackendError::not_executed(format!(
                            "{}:{} serves no slots: is it part of a cluster?",
                            address.0, address.1
                        ));
                    }
                },
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The ways of `CLUSTER SLOTS`: from, to, and the nodes, of which the first is the master.
    fn slots_of(&self, value: &Value, asked: &str) -> Option<Slots> {
        let mut slots: Slots = vec![None; SLOTS];
        for range in array(value)? {
            let [Value::Int(first), Value::Int(last), master, ..] = array(range)? else {
                return None;
            };
            let [host, Value::Int(port), ..] = array(master)? else { return None };
            let host = text(host).filter(|host| !host.is_empty() && *host != "?").unwrap_or(asked);
            let lane = self.lane(&(host.to_owned(), u16::try_from(*port).ok()?));
            let range = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
            slots.get_mut(range)?.fill(Some(lane));
        }
        slots.iter().any(Option::is_some).then_some(slots)
    }

    /// The way to the node at an address.
    fn lane(&self, address: &(String, u16)) -> Arc<Lane> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = nodes.entry(address.clone()).or_insert_with(|| {
            let place = Place::At(self.access.address(&address.0, address.1));
            let source = Source::new(self.access.clone(), place);
            Lane::new(source, self.virtual_time.clone(), Some(self.itself.clone()))
        });
        Arc::clone(lane)
    }

    /// Forgets nodes that serve nothing any more. Who still has a job there finishes it.
    fn forget_others(&self) {
        let masters = self.masters();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|_, lane| masters.iter().any(|master| Arc::ptr_eq(master, lane)));
    }

    /// As [`learn`](Self::learn), but nobody waits beyond `deadline`: a node that hangs takes its
    /// time in the background.
    async fn learn_by(&self, deadline: Instant) {
        let Some(cluster) = self.itself.upgrade() else { return };
        let mut learning = Box::pin(async move { cluster.learn().await });
        // If nobody can be asked now, the next failure asks again.
        if timeout_at(deadline, &mut learning).await.is_err() {
            tokio::spawn(learning);
        }
    }

    /// Sends jobs of `lane` that had no effect where they belong now.
    pub(super) async fn redirect(&self, lane: &Arc<Lane>, failed: Vec<(Job, Failure)>) {
        let stale = |failure: &Failure| {
            matches!(failure, Failure::Moved(_) | Failure::Elsewhere(_) | Failure::Unconnected(_))
        };
        if failed.iter().any(|(_, failure)| stale(failure)) {
            let last = failed.iter().map(|(job, _)| job.deadline).max();
            self.learn_by(last.unwrap_or_else(Instant::now)).await;
        }
        let mut groups: Vec<(Arc<Lane>, Vec<Job>)> = Vec::new();
        for (mut job, failure) in failed {
            job.asking = false;
            let to = match failure {
                Failure::Moved(node) => self.named(&node),
                Failure::Ask(node) => {
                    job.asking = true;
                    self.named(&node)
                }
                Failure::TryAgain => {
                    job.alone = true;
                    None
                }
                Failure::NoScript => Some(Arc::clone(lane)),
                _ => None,
            };
            let to = to.or_else(|| self.route(job.slot)).unwrap_or_else(|| Arc::clone(lane));
            match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &to)) {
                Some((_, jobs)) => jobs.push(job),
                None => groups.push((to, vec![job])),
            }
        }
        for (to, jobs) in groups {
            to.resubmit(jobs);
        }
    }

    /// The way to a node that another one named, as `host:port`.
    fn named(&self, node: &str) -> Option<Arc<Lane>> {
        let (host, port) = node.rsplit_once(':')?;
        // A node that does not know its own address names only the port.
        if host.is_empty() {
            return None;
        }
        Some(self.lane(&(host.to_owned(), port.parse().ok()?)))
    }
}

fn array(value: &Value) -> Option<&[Value]> {
    if let Value::Array(values) = value { Some(values) } else { None }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// The slot of a key: CRC16 (XMODEM) of its tag, if it has one, else of all of it.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    crc % SLOTS as u16
}

#[cfg(test)]
mod tests {
    use super::slot_of;

    #[test]
    fn slots_are_those_of_the_server() {
        // As `CLUSTER KEYSLOT` says.
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"a{foo}b"), 12182);
        assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_eq!(slot_of(b""), 0);
    }
}
