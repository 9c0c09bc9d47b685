//! What a Redis backend has been doing, and what its servers say of themselves.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::Servers;
use super::lane::Lane;
use super::start::{field, text};
use crate::backend::Gauges;
use crate::stats::{BackendStats, RedisStats, ServerStats};

/// How long a server may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);

impl Servers {
    pub(super) fn stats(&self) -> RedisStats {
        let mut stats = RedisStats::default();
        for lane in self.lanes() {
            lane.count(&mut stats);
        }
        stats
    }
}

impl Gauges for Servers {
    fn read(&self) -> BackendStats {
        BackendStats::Redis(self.stats())
    }

    fn ask_servers(&self) -> Pin<Box<dyn Future<Output = Vec<ServerStats>> + Send + '_>> {
        Box::pin(async {
            let mut stats = Vec::new();
            for lane in self.lanes() {
                stats.extend(ask(&lane).await);
            }
            stats
        })
    }
}

/// `None` if it does not say, or may not be asked.
async fn ask(lane: &Lane) -> Option<ServerStats> {
    let info = match lane.ask(&redis::cmd("INFO"), PATIENCE).await {
        Ok(info) => text(&info)?,
        Err(error) => {
            tracing::debug!(%error, "Redis does not say how it is");
            return None;
        }
    };
    let number = |name| field(&info, name)?.parse().ok();
    Some(ServerStats {
        address: lane.link.address()?,
        memory: number("used_memory")?,
        max_memory: number("maxmemory").unwrap_or(0),
        clients: number("connected_clients")?,
        evicted_keys: number("evicted_keys").unwrap_or(0),
    })
}
