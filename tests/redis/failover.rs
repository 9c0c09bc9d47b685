//! Servers that die, move and forget, while checks keep coming.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::timed::runtime;
use support::redis::{RedisCluster, RedisServer, Sentinels, ask, connection, eventually};

const DAY: Duration = Duration::from_secs(86_400);
const CALLERS: u64 = 16;
const KEYS: u64 = 200;

/// More than a load admits while a test runs.
const AMPLE: Policy = Policy::new("ample", Quota::new(1_000_000_000, DAY));

fn limiter(url: &str) -> Limiter {
    // Longer than a loaded machine takes, shorter than a server is away.
    let backend = RedisBackend::builder(url).deadline(Duration::from_secs(2));
    Limiter::new(backend.build().unwrap())
}

/// Callers that check one key after the other until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Told>>,
}

/// What the callers were told.
#[derive(Default)]
struct Told {
    admitted: HashMap<u64, u64>,
    errors: Vec<String>,
}

impl Load {
    fn start(runtime: &Runtime, limiter: &Limiter) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..CALLERS).map(|caller| {
            let (limiter, stop, answered) = (limiter.clone(), stop.clone(), answered.clone());
            runtime.spawn(async move {
                let mut told = Told::default();
                let mut key = caller;
                while !stop.load(Ordering::Relaxed) {
                    key = (key + CALLERS + 1) % KEYS;
                    match limiter.check(&AMPLE, &key.to_string()).await {
                        Ok(decision) => {
                            assert!(decision.is_allowed());
                            *told.admitted.entry(key).or_default() += 1;
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            let cause = std::error::Error::source(&error).unwrap().to_string();
                            told.errors.push(cause);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
                told
            })
        });
        let callers = callers.collect();
        Self { stop, answered, callers }
    }

    /// Waits until so many more checks have been answered.
    fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("checks are answered", || {
            self.answered.load(Ordering::Relaxed) >= before + 2_000
        });
    }

    fn stop(self, runtime: &Runtime) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for caller in self.callers {
            let told = runtime.block_on(caller).unwrap();
            for (key, count) in told.admitted {
                *all.admitted.entry(key).or_default() += count;
            }
            all.errors.extend(told.errors);
        }
        all
    }
}

/// How much of each key is used, by the server.
fn used(runtime: &Runtime, limiter: &Limiter) -> HashMap<u64, u64> {
    let used = |key: u64| {
        let told = runtime.block_on(limiter.peek(&AMPLE, &key.to_string(), 0)).unwrap();
        u64::from(AMPLE.quotas()[0].limit() - told.remaining())
    };
    (0..KEYS).map(|key| (key, used(key))).filter(|(_, used)| *used > 0).collect()
}

#[test]
fn a_forgotten_script_is_loaded_again() {
    let server = RedisServer::start();
    let (runtime, limiter) = (runtime(), limiter(&server.url()));
    let load = Load::start(&runtime, &limiter);
    for _ in 0..5 {
        load.goes_on();
        server.ask::<()>("SCRIPT FLUSH");
    }
    load.goes_on();
    let told = load.stop(&runtime);
    assert_eq!(told.errors, [""; 0]);
    assert_eq!(told.admitted, used(&runtime, &limiter));
}

#[test]
fn a_forgotten_script_is_loaded_again_on_every_node() {
    let cluster = RedisCluster::start();
    let (runtime, limiter) = (runtime(), limiter(&cluster.url()));
    let load = Load::start(&runtime, &limiter);
    for _ in 0..3 {
        load.goes_on();
        for node in cluster.primaries() {
            cluster.nodes[node].ask::<()>("SCRIPT FLUSH");
        }
    }
    load.goes_on();
    let told = load.stop(&runtime);
    assert_eq!(told.errors, [""; 0]);
    assert_eq!(told.admitted, used(&runtime, &limiter));
}

#[test]
fn a_server_that_restarts() {
    let mut server = RedisServer::start();
    let (runtime, limiter) = (runtime(), limiter(&server.url()));
    let load = Load::start(&runtime, &limiter);
    for _ in 0..3 {
        load.goes_on();
        server.kill();
        assert!(server.restart());
    }
    load.goes_on();
    // From here on the server is there.
    let told = load.stop(&runtime);
    // Only what was under way when it died may be unknown: one call each time.
    let unknown = told.errors.iter().filter(|error| error.contains("may or may not")).count();
    println!("{} errors, {unknown} of them unknown", told.errors.len());
    assert!(unknown <= 3 * CALLERS as usize, "{:?}", told.errors);
    let load = Load::start(&runtime, &limiter);
    load.goes_on();
    assert_eq!(load.stop(&runtime).errors, [""; 0]);
}

/// Of two keys of a slot that moves, one has moved already. A call with both is refused, and each is
/// sent alone.
#[test]
fn keys_of_a_slot_of_which_half_has_moved() {
    const POLICY: Policy = Policy::new("half", Quota::new(1_000, DAY));
    let cluster = RedisCluster::start();
    let url = format!("{}?key_prefix=%7Bhalf%7D", cluster.url());
    let backend = RedisBackend::builder(&url).deadline(crate::timed::PATIENCE).build().unwrap();
    let (limiter, runtime) = (Limiter::new(backend), runtime());
    for subject in ["a", "b"] {
        assert!(runtime.block_on(limiter.check(&POLICY, subject)).unwrap().is_allowed());
    }
    let slot: u64 = cluster.nodes[0].ask("CLUSTER KEYSLOT {half}");
    let holds = |node: &&RedisServer| {
        node.ask::<u64>(&format!("CLUSTER COUNTKEYSINSLOT {slot}")) == 2
            && node.ask::<String>("INFO replication").contains("role:master")
    };
    let from = cluster.nodes.iter().find(holds).unwrap();
    let primaries = cluster.primaries().into_iter().map(|node| &cluster.nodes[node]);
    let to = primaries.into_iter().find(|node| node.port != from.port).unwrap();
    let (from_id, to_id): (String, String) = (from.ask("CLUSTER MYID"), to.ask("CLUSTER MYID"));
    to.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    from.ask::<()>(&format!("MIGRATE 127.0.0.1 {} {{half}}4:half:a 0 5000", to.port));
    runtime.block_on(async {
        let checks: Vec<_> = (0..64)
            .map(|number| {
                let (limiter, subject) = (limiter.clone(), ["a", "b"][number % 2]);
                tokio::spawn(async move { limiter.check(&POLICY, subject).await })
            })
            .collect();
        for check in checks {
            assert!(check.await.unwrap().unwrap().is_allowed());
        }
        for subject in ["a", "b"] {
            let left = limiter.peek(&POLICY, subject, 0).await.unwrap().remaining();
            assert_eq!(left, 1_000 - 33, "{subject}");
        }
    });
    // Those that were refused together did not come together again. Before Redis 7 a call with both
    // is sent to where one of the two is.
    let errors: String = from.ask("INFO errorstats");
    let count = |code: &str| -> u32 {
        let told = errors.split_once(&format!("errorstat_{code}:count="));
        told.map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap())
    };
    assert!(count("TRYAGAIN") <= 4 && count("TRYAGAIN") + count("ASK") > 0, "{errors}");
}

/// Nobody is under way while the server restarts: then nobody learns of it.
#[test]
fn a_restart_between_checks_is_not_noticed() {
    let mut server = RedisServer::start();
    let (runtime, limiter) = (runtime(), limiter(&server.url()));
    for _ in 0..5 {
        assert!(runtime.block_on(limiter.check(&AMPLE, "s")).unwrap().is_allowed());
        server.kill();
        assert!(server.restart());
        assert!(runtime.block_on(limiter.check(&AMPLE, "s")).unwrap().is_allowed());
    }
}

#[test]
fn sentinels_name_another_primary() {
    const LIMIT: u32 = 1_000_000;
    const POLICY: Policy = Policy::new("limited", Quota::new(LIMIT, DAY));
    let mut sentinels = Sentinels::start();
    let (runtime, limiter) = (runtime(), limiter(&sentinels.url()));
    let stop = Arc::new(AtomicBool::new(false));
    let until_no = |cost: u32| {
        let admitted = Arc::new(AtomicU64::new(0));
        let callers: Vec<JoinHandle<()>> = (0..CALLERS)
            .map(|_| {
                let (limiter, admitted) = (limiter.clone(), admitted.clone());
                let stop = stop.clone();
                runtime.spawn(async move {
                    while !stop.load(Ordering::Relaxed)
                        && let Ok(decision) = limiter.check_cost(&POLICY, "s", cost).await
                        && decision.is_allowed()
                    {
                        admitted.fetch_add(cost.into(), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        (admitted, callers)
    };
    let old = sentinels.primary();
    let (admitted, callers) = until_no(1);
    eventually("some are admitted", || admitted.load(Ordering::Relaxed) > 3_000);
    sentinels.server(old).kill();
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        runtime.block_on(caller).unwrap();
    }
    let before = admitted.load(Ordering::Relaxed);
    assert!(before < u64::from(LIMIT), "it died too late");

    let load = Load::start(&runtime, &limiter);
    load.goes_on();
    let told = load.stop(&runtime);
    assert_ne!(sentinels.primary(), old);
    println!("{} errors until the new primary was named", told.errors.len());

    let remaining = runtime.block_on(limiter.peek(&POLICY, "s", 0)).unwrap().remaining();
    let kept = u64::from(LIMIT - remaining);
    let lost = before.saturating_sub(kept);
    println!(
        "{before} were admitted by the old primary, {kept} are known to the new one: {lost} lost"
    );
    stop.store(false, Ordering::Relaxed);
    let mut after = 0;
    for cost in [1_000, 1] {
        let (admitted, callers) = until_no(cost);
        for caller in callers {
            runtime.block_on(caller).unwrap();
        }
        after += admitted.load(Ordering::Relaxed);
    }
    assert_eq!(after, u64::from(remaining));
    assert!(before + after <= u64::from(LIMIT) + lost, "{before} + {after} admitted");

    // The old one comes back, and is a replica.
    assert!(sentinels.server(old).restart());
    let load = Load::start(&runtime, &limiter);
    load.goes_on();
    assert_eq!(load.stop(&runtime).errors, [""; 0]);
}

#[test]
fn a_primary_of_a_cluster_dies() {
    let mut cluster = RedisCluster::start();
    let (runtime, limiter) = (runtime(), limiter(&cluster.url()));
    let load = Load::start(&runtime, &limiter);
    load.goes_on();
    let dead = cluster.primaries()[0];
    cluster.nodes[dead].kill();
    let alive = (dead + 1) % cluster.nodes.len();
    eventually("a replica takes over", || {
        let nodes: String = cluster.nodes[alive].ask("CLUSTER NODES");
        let info: String = cluster.nodes[alive].ask("CLUSTER INFO");
        nodes.contains("fail") && info.contains("cluster_state:ok")
    });
    load.goes_on();
    let told = load.stop(&runtime);
    println!("{} errors until a replica had taken over", told.errors.len());
    assert!(!told.errors.iter().any(|error| error.contains("CROSSSLOT")), "{:?}", told.errors);
    // All keys are served again, each by the node whose it is.
    let load = Load::start(&runtime, &limiter);
    load.goes_on();
    let again = load.stop(&runtime);
    assert_eq!(again.errors, [""; 0]);
    let used = used(&runtime, &limiter);
    let lost: u64 = told
        .admitted
        .iter()
        .map(|(key, count)| {
            let all = count + again.admitted.get(key).copied().unwrap_or(0);
            all.saturating_sub(used.get(key).copied().unwrap_or(0))
        })
        .sum();
    let all: u64 = told.admitted.values().sum();
    println!("of {all} admitted under load replication lost {lost}");
}

#[test]
fn slots_move_under_load() {
    let cluster = RedisCluster::start();
    let (runtime, limiter) = (runtime(), limiter(&cluster.url()));
    let load = Load::start(&runtime, &limiter);
    load.goes_on();
    let primaries = cluster.primaries();
    let id = |node: usize| cluster.nodes[node].ask::<String>("CLUSTER MYID");
    let (from, to) = (id(primaries[0]), id(primaries[1]));
    let moved = Command::new("redis-cli")
        .args(["--cluster", "reshard", &format!("127.0.0.1:{}", cluster.nodes[primaries[0]].port)])
        .args(["--cluster-from", &from, "--cluster-to", &to])
        .args(["--cluster-slots", "2000", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stdout));
    load.goes_on();
    let told = load.stop(&runtime);
    assert_eq!(told.errors, [""; 0]);
    assert_eq!(told.admitted, used(&runtime, &limiter), "every charge is where its key is");
    let mut keys = Vec::new();
    for node in cluster.primaries() {
        let mut connection = connection(cluster.nodes[node].url().as_str());
        keys.extend(ask::<Vec<String>>(&mut connection, "KEYS *"));
    }
    assert_eq!(keys.len() as u64, KEYS, "each key once, and no other");
    assert!(keys.iter().all(|key| key.starts_with("tollgate:5:ample:")));
}
