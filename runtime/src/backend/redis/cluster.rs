//! The cluster: the nodes that serve its slots, and the rerouting of requests when slots move.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::Value;
use tokio::time::{Instant, timeout_at};

use super::address::ServerAddress;
use super::connect_options::ConnectOptions;
use super::connector::{Connector, Endpoint};
use super::driver::LazyDriver;
use super::failure::{RequestError, with_last};
use super::node::{Node, Router};
use super::request::Request;
use crate::{BackendError, Clock};

const SLOTS: usize = 16_384;

/// Timeout for a node's reply to `CLUSTER SLOTS`.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// The shortest time between two refreshes of the slot table.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(50);

pub(super) struct Cluster {
    itself: Weak<Self>,
    options: ConnectOptions,
    virtual_time: Option<Arc<dyn Clock>>,
    seeds: Vec<(String, u16)>,
    nodes: Mutex<HashMap<(String, u16), Arc<Node>>>,
    slots: ArcSwap<SlotTable>,
    /// The time of the last refresh; `None` before the first. It is locked during a refresh, so
    /// that there is only one at a time.
    refreshed: tokio::sync::Mutex<Option<Instant>>,
    /// The reason why the last node that was asked did not return the slot table.
    failure: Mutex<Option<String>>,
    /// The runtime of the refreshes, from the first on.
    driver: LazyDriver,
}

/// The node that serves each slot; `None` for a slot that no node serves. The table is empty before
/// the first refresh.
type SlotTable = Vec<Option<Arc<Node>>>;

impl Cluster {
    pub(super) fn new(
        options: ConnectOptions,
        seeds: Vec<(String, u16)>,
        virtual_time: Option<Arc<dyn Clock>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            options,
            virtual_time,
            seeds,
            nodes: Mutex::default(),
            slots: ArcSwap::default(),
            refreshed: tokio::sync::Mutex::default(),
            failure: Mutex::default(),
            driver: LazyDriver::default(),
        })
    }

    /// Returns the node that serves a slot according to the slot table; `None` if it is not known.
    pub(super) fn route(&self, slot: u16) -> Option<Arc<Node>> {
        self.slots.load().get(usize::from(slot))?.clone()
    }

    /// Returns the nodes that serve slots.
    pub(super) fn masters(&self) -> Vec<Arc<Node>> {
        let mut masters: Vec<Arc<Node>> = Vec::new();
        for node in self.slots.load().iter().flatten() {
            if !masters.iter().any(|known| Arc::ptr_eq(known, node)) {
                masters.push(Arc::clone(node));
            }
        }
        masters
    }

    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.lock_nodes().values().cloned().collect()
    }

    /// Loads the slot table unless it has been loaded before.
    pub(super) async fn ready(&self) -> Result<(), BackendError> {
        if !self.slots.load().is_empty() {
            return Ok(());
        }
        // The future is boxed, so that the future of each check does not contain the state that
        // only the first check needs.
        let refresh: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(self.refresh());
        refresh.await
    }

    /// Loads the slot table unless it has been loaded before, but returns at `deadline` at the
    /// latest. The attempt then goes on in the background, because the first nodes may hang.
    pub(super) async fn ready_by(&self, deadline: Instant) -> Result<(), BackendError> {
        if !self.slots.load().is_empty() {
            return Ok(());
        }
        let driver = self.driver.get().map_err(RequestError::into_error)?;
        if let Some(cluster) = self.itself.upgrade() {
            let refresh = driver.spawn(async move { cluster.refresh().await });
            if let Ok(Ok(refreshed)) = timeout_at(deadline, refresh).await {
                return refreshed;
            }
        }
        let last = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = with_last("no node answered before the deadline", last);
        Err(BackendError::not_executed(text))
    }

    /// Loads the slot table from the first node that returns one. Known nodes are asked first, then
    /// the seeds.
    async fn refresh(&self) -> Result<(), BackendError> {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|at| at.elapsed() < MIN_REFRESH_INTERVAL) {
            return Ok(());
        }
        let mut addresses: Vec<(String, u16)> = self.lock_nodes().keys().cloned().collect();
        addresses.extend(
            self.seeds.iter().filter(|seed| !addresses.contains(seed)).cloned().collect::<Vec<_>>(),
        );
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let mut failure = BackendError::not_executed("no node of the cluster is known");
        for address in addresses {
            match self.node(&address).query(&command, REPLY_TIMEOUT).await {
                Ok(value) => match self.slot_table(&value, &address.0) {
                    Some(slots) => {
                        self.slots.store(Arc::new(slots));
                        *refreshed = Some(Instant::now());
                        self.remove_unused_nodes();
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
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.reason());
        }
        Err(failure)
    }

    /// Parses the reply to `CLUSTER SLOTS`, a list of ranges: first slot, last slot, and the nodes,
    /// of which the first is the master. A master without a host is at `asked_host`, the host of
    /// the node that was asked. Returns `None` if the reply is invalid or no slot is served.
    fn slot_table(&self, value: &Value, asked_host: &str) -> Option<SlotTable> {
        let mut slots: SlotTable = vec![None; SLOTS];
        for range in array(value)? {
            let [Value::Int(first), Value::Int(last), master, ..] = array(range)? else {
                return None;
            };
            let [host, Value::Int(port), ..] = array(master)? else { return None };
            let host = text(host).filter(|host| !host.is_empty() && *host != "?");
            let host = host.unwrap_or(asked_host);
            let node = self.node(&(host.to_owned(), u16::try_from(*port).ok()?));
            let range = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
            slots.get_mut(range)?.fill(Some(node));
        }
        slots.iter().any(Option::is_some).then_some(slots)
    }

    /// Returns the node at an address. Adds it if it is not known yet.
    fn node(&self, address: &(String, u16)) -> Arc<Node> {
        let mut nodes = self.lock_nodes();
        let node = nodes.entry(address.clone()).or_insert_with(|| {
            let endpoint = Endpoint::Address(ServerAddress::tcp(&address.0, address.1));
            let connector = Connector::new(self.options.clone(), endpoint);
            let router: Weak<dyn Router> = self.itself.clone();
            Node::new(connector, self.virtual_time.clone(), Some(router))
        });
        Arc::clone(node)
    }

    /// Removes the nodes that no longer serve any slots. Their workers still finish the requests in
    /// their queues.
    fn remove_unused_nodes(&self) {
        let masters = self.masters();
        let mut nodes = self.lock_nodes();
        nodes.retain(|_, node| masters.iter().any(|master| Arc::ptr_eq(master, node)));
    }

    /// Refreshes the slot table, but returns at `deadline` at the latest. A refresh that is not
    /// done by then, because a node hangs, goes on in the background.
    async fn refresh_by(&self, deadline: Instant) {
        let Some(cluster) = self.itself.upgrade() else { return };
        let mut refresh = Box::pin(async move { cluster.refresh().await });
        // An error is ignored, because the next failed request starts another refresh.
        if timeout_at(deadline, &mut refresh).await.is_err() {
            tokio::spawn(refresh);
        }
    }

    /// Returns the node at the address `host:port`, as the node `from` reported it; `None` if that
    /// is no address. Without a host, it is at the host of `from`.
    fn node_named(&self, name: &str, from: &Arc<Node>) -> Option<Arc<Node>> {
        let (host, port) = name.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = match host {
            "" | "?" => self.host_of(from)?,
            host => host.to_owned(),
        };
        Some(self.node(&(host, port)))
    }

    fn host_of(&self, node: &Arc<Node>) -> Option<String> {
        let nodes = self.lock_nodes();
        let found = nodes.iter().find(|(_, known)| Arc::ptr_eq(known, node));
        found.map(|((host, _), _)| host.clone())
    }

    fn lock_nodes(&self) -> MutexGuard<'_, HashMap<(String, u16), Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Router for Cluster {
    fn refresh_soon(&self) {
        // One refresh at a time is enough.
        if self.refreshed.try_lock().is_err() {
            return;
        }
        if let Some(cluster) = self.itself.upgrade() {
            tokio::spawn(async move { cluster.refresh().await });
        }
    }

    fn reroute<'a>(
        &'a self,
        from: &'a Arc<Node>,
        failed: Vec<(Request, RequestError)>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let is_stale = |error: &RequestError| {
                matches!(
                    error,
                    RequestError::Moved(_)
                        | RequestError::WrongServer(_)
                        | RequestError::Unconnected(_)
                )
            };
            if failed.iter().any(|(_, error)| is_stale(error)) {
                let last = failed.iter().map(|(request, _)| request.deadline).max();
                self.refresh_by(last.unwrap_or_else(Instant::now)).await;
            }
            let mut groups: Vec<(Arc<Node>, Vec<Request>)> = Vec::new();
            for (mut request, error) in failed {
                request.asking = false;
                let to = match error {
                    RequestError::Moved(node) => self.node_named(&node, from),
                    RequestError::Ask(node) => {
                        request.asking = true;
                        self.node_named(&node, from)
                    }
                    RequestError::TryAgain => {
                        request.unbatched = true;
                        None
                    }
                    RequestError::NoScript | RequestError::Deferred => Some(Arc::clone(from)),
                    _ => None,
                };
                let to =
                    to.or_else(|| self.route(request.slot)).unwrap_or_else(|| Arc::clone(from));
                match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &to)) {
                    Some((_, requests)) => requests.push(request),
                    None => groups.push((to, vec![request])),
                }
            }
            for (to, requests) in groups {
                to.resubmit(requests);
            }
        })
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

/// Returns the slot of a key: the CRC16 (XMODEM) of its hash tag, or of the full key if it has
/// none, modulo the number of slots.
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
        // The expected slots are the replies of a server to `CLUSTER KEYSLOT`.
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"a{foo}b"), 12182);
        assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_eq!(slot_of(b""), 0);
    }
}
