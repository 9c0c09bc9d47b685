//! A run: the fleet is built, and its requests come.

use std::sync::{Arc, Mutex, MutexGuard};

use tollgate::{Limiter, Policy};

use crate::chance::Chance;
use crate::faults::{Fault, Kind};
use crate::figures::Figures;
use crate::fleet::{Fleet, Mode};
use crate::observer::{Decided, End, Observer};
use crate::store::{Store, WayToStore};
use crate::timeline::{DriftingClock, Timeline};
use crate::traffic::Traffic;

/// Plays the time of `fleet` with its limiters set by `mode`.
pub fn play(fleet: &Fleet, mode: &Mode) -> Figures {
    let timeline = Timeline::default();
    let faults: &'static [Fault] = Vec::leak(Fault::schedule(fleet));
    let fleet: &'static Fleet = Box::leak(Box::new(fleet.clone()));
    let mode: &'static Mode = Box::leak(Box::new(mode.clone()));
    let world = Arc::new(World {
        timeline: timeline.clone(),
        fleet,
        policy: fleet.policy(),
        names: (0..fleet.subjects).map(|subject| format!("client {subject}")).collect(),
        store: Arc::new(Store::new(fleet, &timeline)),
        observer: Mutex::new(Observer::new(fleet, mode, faults)),
    });
    let instances: Vec<Arc<Instance>> =
        (0..fleet.instances).map(|number| world.instance(mode, faults, number)).collect();
    timeline.run(async {
        tokio::spawn(Arc::clone(&world).conduct(faults));
        world.send_all(&instances, Traffic::new(fleet, mode.routing), faults).await;
    });
    let mut figures = std::mem::take(&mut world.observer().figures);
    figures.calls = world.store.calls();
    figures
}

struct World {
    timeline: Timeline,
    fleet: &'static Fleet,
    policy: Policy,
    names: Vec<String>,
    store: Arc<Store>,
    observer: Mutex<Observer<'static>>,
}

struct Instance {
    number: usize,
    limiter: Limiter,
    chance: Mutex<Chance>,
}

impl World {
    fn observer(&self) -> MutexGuard<'_, Observer<'static>> {
        self.observer.lock().unwrap()
    }

    fn instance(&self, mode: &Mode, faults: &'static [Fault], number: usize) -> Arc<Instance> {
        let fleet = self.fleet;
        let mut chance = Chance::new(fleet.seed, number as u64);
        let offset = chance.below(7_200_000_000) as i64 - 3_600_000_000;
        let drift = chance.below(2 * fleet.drift as u64 + 1) as i64 - fleet.drift;
        let way = WayToStore {
            store: Arc::clone(&self.store),
            fleet,
            faults,
            instance: number,
            chance: Mutex::new(Chance::new(fleet.seed, (1 << 33) + number as u64)),
        };
        let limiter = Limiter::builder(way)
            .clock(DriftingClock::new(self.timeline.clone(), offset, drift))
            .breaker(mode.breaker(fleet, number))
            .local_tier(mode.tier())
            .on_error(mode.on_error)
            .instances(fleet.instances as u32)
            .build();
        Arc::new(Instance { number, limiter, chance: Mutex::new(chance) })
    }

    /// Sends the requests of all clients, until the end of the run.
    async fn send_all(
        self: &Arc<Self>,
        instances: &[Arc<Instance>],
        mut traffic: Traffic,
        faults: &[Fault],
    ) {
        let mut at = 0;
        for request in 0.. {
            let (gap, subject) = traffic.next();
            at += gap;
            if let Some(fault) = faults.get((at / self.fleet.slot) as usize)
                && at >= fault.quiet
            {
                at = fault.end + gap;
            }
            if at >= self.fleet.slots * self.fleet.slot {
                break;
            }
            self.timeline.until(at).await;
            let instance = Arc::clone(&instances[traffic.route(subject, at)]);
            self.observer().comes(request, subject, at);
            tokio::spawn(Arc::clone(self).serve(instance, request, subject));
        }
        self.timeline.until(self.fleet.slots * self.fleet.slot + 1).await;
    }

    /// Serves a request at `instance`.
    async fn serve(self: Arc<Self>, instance: Arc<Instance>, request: u64, subject: usize) {
        let Instance { number, limiter, chance } = &*instance;
        let decision = limiter.check(&self.policy, self.names[subject].as_str()).await;
        let (end, source) = match &decision {
            Ok(decision) if decision.is_allowed() => (End::Admitted, Some(decision.source())),
            Ok(decision) => (End::Refused, Some(decision.source())),
            Err(_) => (End::Failed, None),
        };
        let decided = Decided { request, instance: *number, subject, end, source };
        self.observer().decided(decided, self.timeline.now());
        let Some(decision) = decision.ok().filter(|_| end == End::Admitted) else { return };
        let lasts = {
            let mut chance = chance.lock().unwrap();
            chance.is_one_in(self.fleet.refunds).then(|| chance.below(self.fleet.lasts))
        };
        let Some(lasts) = lasts else { return };
        self.timeline.pass(lasts).await;
        self.observer().refunds(request, subject, *number, self.timeline.now());
        // What cannot be given back stays charged.
        let _ = limiter.refund(decision).await;
    }

    /// Lets replicas take over, and compares the accounts at the end of each slot.
    async fn conduct(self: Arc<Self>, faults: &'static [Fault]) {
        for fault in faults {
            self.timeline.until(fault.to).await;
            if fault.kind == Kind::Failover {
                let mut observer = self.observer();
                self.store.fail_over(fault.from - fault.lacks, fault.jump, |name, units| {
                    let number = name.rsplit(' ').next().and_then(|number| number.parse().ok());
                    if let Some(subject) = number {
                        observer.loses(subject, units, fault.from);
                    }
                });
            }
            let used = |subject: usize| self.store.used(&self.names[subject]);
            if fault.kind == Kind::Down
                && let Some(returns) = self.fleet.returns
            {
                self.timeline.pass(returns).await;
                self.observer().audit_return(self.timeline.now(), used);
            }
            self.timeline.until(fault.end).await;
            self.observer().audit(fault.end, used);
        }
    }
}
