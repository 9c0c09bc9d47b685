//! In the place of `tally` where the feature `dashboard` is off: nobody looks.

use std::time::Duration;

use super::Told;

pub(crate) enum Tally {}

impl Tally {
    pub(super) fn note(&self, _told: &Told<'_>, _took: Duration) {
        match *self {}
    }
}
