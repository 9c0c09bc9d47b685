//! Who comes, when, and to which instance.

use crate::chance::Chance;
use crate::fleet::{Fleet, Routing};

/// The mean time for which a client stays with an instance.
const STAY: u64 = 60_000_000;
/// The connections that a client has at a time.
pub(crate) const CONNECTIONS: usize = 2;

/// The requests of a run. Whom they are of and when they come is the same for every routing.
pub(crate) struct Traffic {
    subjects: Zipf,
    arrivals: Chance,
    routes: Chance,
    routing: Routing,
    instances: u64,
    /// The mean time between two requests.
    gap: u64,
    /// Where each connection of a subject leads, and until when.
    connections: Vec<[(u32, u64); CONNECTIONS]>,
}

impl Traffic {
    pub(crate) fn new(fleet: &Fleet, routing: Routing) -> Self {
        Self {
            subjects: Zipf::new(fleet.subjects),
            arrivals: Chance::new(fleet.seed, 1 << 32),
            routes: Chance::new(fleet.seed, (1 << 32) + 1),
            routing,
            instances: fleet.instances as u64,
            gap: 1_000_000 / fleet.rate,
            connections: vec![[(0, 0); CONNECTIONS]; fleet.subjects],
        }
    }

    /// The time until the next request, and its subject.
    pub(crate) fn next(&mut self) -> (u64, usize) {
        (self.arrivals.wait(self.gap), self.subjects.draw(&mut self.arrivals))
    }

    /// The instance to which a request of `subject` goes at `now`.
    pub(crate) fn route(&mut self, subject: usize, now: u64) -> usize {
        if self.routing == Routing::Spread {
            return self.routes.below(self.instances) as usize;
        }
        let connection = self.routes.below(CONNECTIONS as u64) as usize;
        let (instance, until) = &mut self.connections[subject][connection];
        if now >= *until {
            *instance = self.routes.below(self.instances) as u32;
            *until = now + self.routes.wait(STAY);
        }
        *instance as usize
    }
}

/// Subjects of which the n-th comes 1/n times as often as the first. By Walker's method of aliases.
struct Zipf {
    /// For each place: the share of it that is its own, and whose the rest is.
    places: Vec<(f64, u32)>,
}

impl Zipf {
    fn new(subjects: usize) -> Self {
        let sum: f64 = (1..=subjects).map(|rank| 1.0 / rank as f64).sum();
        let scale = subjects as f64 / sum;
        let mut shares: Vec<f64> = (1..=subjects).map(|rank| scale / rank as f64).collect();
        let mut places: Vec<(f64, u32)> = (0..subjects).map(|it| (1.0, it as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..subjects).partition(|it| shares[*it] < 1.0);
        while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
            places[less] = (shares[less], more as u32);
            shares[more] -= 1.0 - shares[less];
            if shares[more] < 1.0 { small.push(more) } else { large.push(more) }
        }
        Self { places }
    }

    fn draw(&self, chance: &mut Chance) -> usize {
        let place = chance.below(self.places.len() as u64) as usize;
        let (own, other) = self.places[place];
        if chance.share() < own { place } else { other as usize }
    }
}
