//! Not one more and not one less than the limit, however many processes ask.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::IntoConnectionInfo as _;
use tokio::task::JoinSet;
use tollgate::backend::{Answer, Operation};
use tollgate::{Algorithm, Backend as _, Check, Outcome, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, runtime};
use support::redis::{RedisCluster, RedisServer, eventually};
use support::reference::Numbers;
use support::scaled;

const PROCESSES: usize = 4;
const TASKS: usize = 50;
const KEYS: usize = 50;

/// So long that nothing comes back while a test runs.
const LONG: Duration = Duration::from_secs(300 * 24 * 3600);
/// So short that several windows pass.
const SHORT: Duration = Duration::from_millis(300);

/// What the processes do together.
#[derive(Clone, Copy)]
enum Job {
    /// All ask for one key.
    OneKey,
    /// All ask for every key.
    ManyKeys,
    /// All ask for one key for this many periods.
    Windows(u32),
}

impl Job {
    fn limit(self) -> u32 {
        match self {
            Self::OneKey => 137,
            Self::ManyKeys => 17,
            Self::Windows(_) => 23,
        }
    }

    fn policy(self, algorithm: Algorithm, name: String) -> Policy {
        let period = if matches!(self, Self::Windows(_)) { SHORT } else { LONG };
        Policy::named(name, Quota::new(self.limit(), period)).algorithm(algorithm)
    }

    fn name(self) -> String {
        match self {
            Self::OneKey => "one".to_owned(),
            Self::ManyKeys => "many".to_owned(),
            Self::Windows(count) => count.to_string(),
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "one" => Self::OneKey,
            "many" => Self::ManyKeys,
            count => Self::Windows(count.parse().unwrap()),
        }
    }
}

/// Who was admitted, and when, by the server's clock.
type Admitted = HashMap<(usize, usize, String), Vec<u64>>;

/// Runs the job in as many processes, for each algorithm so many times.
fn together(url: &str, barrier: &str, job: Job, repetitions: u32) -> Admitted {
    let start = |_| -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["exact::one_of_the_processes", "--exact", "--ignored", "--nocapture"])
            .env("TOLLGATE_TEST_URL", url)
            .env("TOLLGATE_TEST_BARRIER", barrier)
            .env("TOLLGATE_TEST_JOB", job.name())
            .env("TOLLGATE_TEST_REPETITIONS", repetitions.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut admitted = Admitted::new();
    let children: Vec<Child> = (0..PROCESSES).map(start).collect();
    // Read all at once, or one would wait for its lines to be read, and the others for it.
    let read = |mut child: Child| {
        std::thread::spawn(move || {
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let lines: Vec<String> = lines.map(Result::unwrap).collect();
            assert!(child.wait().unwrap().success());
            lines
        })
    };
    let readers: Vec<_> = children.into_iter().map(read).collect();
    for reader in readers {
        for line in reader.join().unwrap() {
            let Some(line) = line.strip_prefix("admitted ") else { continue };
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap();
            let case = (word().parse().unwrap(), word().parse().unwrap(), word().to_owned());
            admitted.entry(case).or_default().push(word().parse().unwrap());
        }
    }
    admitted
}

/// One process of several: it waits for the others before each case.
#[test]
#[ignore = "the other tests of this file run it, several times at once"]
fn one_of_the_processes() {
    let variable = |name: &str| std::env::var(format!("TOLLGATE_TEST_{name}")).unwrap();
    let job = Job::named(&variable("JOB"));
    let repetitions: usize = variable("REPETITIONS").parse().unwrap();
    let barrier = variable("BARRIER");
    let mut barrier = support::redis::connection(barrier.as_str().into_connection_info().unwrap());
    let url = variable("URL");
    let backend = RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap();
    let backend: &'static RedisBackend = Box::leak(Box::new(backend));
    let runtime = runtime();
    for repetition in 0..repetitions {
        for (number, &algorithm) in Algorithm::ALL.iter().enumerate() {
            let name = format!("{}-{repetition}-{number}", job.name());
            let here: usize = redis::cmd("INCR").arg(&name).query(&mut barrier).unwrap();
            assert!(here <= PROCESSES);
            eventually("all are here", || {
                redis::cmd("GET").arg(&name).query::<usize>(&mut barrier).unwrap() == PROCESSES
            });
            let policy: &'static Policy = Box::leak(Box::new(job.policy(algorithm, name)));
            runtime.block_on(async {
                let mut tasks: JoinSet<Vec<(String, u64)>> =
                    (0..TASKS).map(|task| work(backend, policy, job, task)).collect();
                while let Some(done) = tasks.join_next().await {
                    for (key, stamp) in done.unwrap() {
                        println!("admitted {repetition} {number} {key} {stamp}");
                    }
                }
            });
        }
    }
}

async fn work(
    backend: &'static RedisBackend,
    policy: &'static Policy,
    job: Job,
    task: usize,
) -> Vec<(String, u64)> {
    let mut admitted = Vec::new();
    let mut check = async |key: &str| -> u64 {
        let operation = Operation::charge(Check::new(policy, key, 1));
        let answer = backend.apply(&[operation]).await.remove(0).unwrap();
        let Answer::Verdict(verdict) = answer else { panic!("{answer:?}") };
        if verdict.outcome() == Outcome::Allowed {
            admitted.push((key.to_owned(), verdict.stamp_micros()));
        }
        verdict.stamp_micros()
    };
    match job {
        Job::OneKey => {
            for _ in 0..5 {
                check("key").await;
            }
        }
        Job::ManyKeys => {
            for key in 0..KEYS {
                check(&((key + task) % KEYS).to_string()).await;
            }
        }
        Job::Windows(count) => {
            let span = u64::from(count) * SHORT.as_micros() as u64;
            let end = check("key").await + span;
            while check("key").await < end {}
        }
    }
    admitted
}

fn exactly_the_limit(url: &str, barrier: &RedisServer) {
    let repetitions = scaled(2, 20);
    for (job, keys) in [(Job::OneKey, 1), (Job::ManyKeys, KEYS)] {
        let admitted = together(url, &barrier.url(), job, repetitions);
        assert_eq!(admitted.len(), keys * Algorithm::ALL.len() * repetitions as usize);
        for ((repetition, algorithm, key), stamps) in admitted {
            let algorithm = Algorithm::ALL[algorithm];
            assert_eq!(
                stamps.len(),
                job.limit() as usize,
                "{algorithm:?}, key {key}, repetition {repetition}"
            );
        }
    }
}

#[test]
fn on_a_single_server() {
    let server = RedisServer::start();
    exactly_the_limit(&server.url(), &server);
}

#[test]
fn in_a_cluster() {
    let (cluster, barrier) = (RedisCluster::start(), RedisServer::start());
    exactly_the_limit(&cluster.url(), &barrier);
}

#[test]
fn no_window_holds_more_than_the_bound() {
    let server = RedisServer::start();
    let windows = 4;
    let job = Job::Windows(windows);
    let admitted = together(&server.url(), &server.url(), job, scaled(1, 5));
    for ((_, algorithm, _), mut stamps) in admitted {
        let algorithm = Algorithm::ALL[algorithm];
        stamps.sort_unstable();
        let period = SHORT.as_micros() as u64;
        let inside =
            |start: &u64| stamps.iter().filter(|at| (*start..start + period).contains(at)).count();
        let worst = stamps.iter().map(inside).max().unwrap() as u64;
        let bound = Numbers::new(job.limit(), period).bound(algorithm);
        println!(
            "{algorithm:?}: {} admitted in {windows} periods, at most {worst} in one, bound {bound}",
            stamps.len()
        );
        assert!(worst <= bound, "{algorithm:?}: {worst} in one period, the bound is {bound}");
        // And the limit is used: the counter admits its limit in two periods at worst.
        assert!(stamps.len() as u32 >= job.limit() * (windows / 2), "{algorithm:?}");
    }
}
