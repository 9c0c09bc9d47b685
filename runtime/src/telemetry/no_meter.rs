//! In the place of `meter` where the feature `metrics` is off: there is no meter.

#[cfg(feature = "redis")]
use std::time::Duration;

use quanta::Instant;

use super::Told;
use crate::LimiterStats;
use crate::backend::ServerStats;

pub(crate) enum Meter {}

impl Meter {
    pub(super) fn watch(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn count(
        &self,
        _since: Instant,
        _now: Instant,
        _told: &Told<'_>,
        _near: f64,
    ) -> bool {
        match *self {}
    }

    pub(crate) fn asks_servers(&self) -> bool {
        match *self {}
    }

    pub(crate) fn publish(&self, _stats: &LimiterStats) {
        match *self {}
    }

    pub(crate) fn publish_servers(&self, _servers: &[ServerStats]) {
        match *self {}
    }
}

#[cfg(feature = "redis")]
pub(crate) fn round_trip(_checks: usize, _took: Duration) {}

#[cfg(feature = "redis")]
pub(crate) fn connected(_took: Duration) {}
