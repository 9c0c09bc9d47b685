//! A process that uses all features at once, and tells what it does.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;
use tollgate::stats::BreakerState;
use tollgate::{CircuitBreaker, Config, Limiter, LocalTier, RedisBackend};

use crate::Options;
use crate::callers::call_all;
use crate::events::{Event, Tick, now};
use crate::lanes::{DEADLINE, Lane, known, lanes, plans};
use crate::service::serve;

/// What the tasks of a process share.
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) limiter: Limiter,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) events: Sender<Event>,
    pub(crate) stop: AtomicBool,
    pub(crate) seed: u64,
    pub(crate) load: u64,
    pub(crate) doubts: bool,
    /// The order in which callers come is known where one thread runs them.
    pub(crate) has_order: bool,
    pub(crate) last_answer: AtomicU64,
    /// The longest that a timer was late in this second and in the one before.
    stall: [AtomicU64; 2],
    next: AtomicU64,
}

impl Worker {
    pub(crate) fn tell(&self, event: Event) {
        // The end of the process may come first.
        let _ = self.events.send(event);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stall(&self) -> u64 {
        self.stall.iter().map(|stall| stall.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A number of its own among all processes.
    pub(crate) fn id(&self) -> u64 {
        u64::from(std::process::id()) << 32 | self.next()
    }
}

pub(crate) fn work(options: &Options) {
    let (number, url, file, zone) = options.worker.clone().unwrap();
    let (events, told) = channel::<Event>();
    std::thread::spawn(move || {
        let mut out = std::io::stdout();
        for event in told {
            let line = serde_json::to_string(&event).unwrap();
            if writeln!(out, "{line}").is_err() {
                return;
            }
        }
    });
    let panics = events.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = panics.send(Event::Wrong(format!("a panic: {panic}")));
        eprintln!("{panic}");
    }));

    let lanes = lanes(options.workers as u32, known(&zone));
    let backend = RedisBackend::builder(&url).build().unwrap();
    let breaker = CircuitBreaker::new()
        .reset_timeout(Duration::from_millis(100))
        .max_reset_timeout(Duration::from_secs(1));
    let mut builder = Limiter::builder(backend)
        .breaker(breaker)
        .deadline(Duration::from_micros(DEADLINE))
        .instances(options.workers as u32)
        .local_tier(LocalTier::deny_cache())
        .per_subject(plans());
    for lane in &lanes {
        builder = builder.declare(lane.policy.clone());
    }
    let limiter = builder.build();
    let config = || {
        let declare = |config: Config, lane: &Lane| config.declare(lane.policy.clone());
        let config = Config::load(&file).ok()?;
        let config = lanes.iter().fold(config, declare);
        limiter.set_overrides(config.overrides().ok()?).ok()?;
        Some(config)
    };
    let config = loop {
        match config() {
            Some(config) => break config,
            // It has a mistake for the moment.
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let has_order = number.is_multiple_of(2);
    let mut runtime =
        if has_order { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let worker = Arc::new(Worker {
        number,
        limiter: limiter.clone(),
        lanes,
        events,
        stop: AtomicBool::new(false),
        seed: options.seed,
        load: options.load,
        doubts: options.doubts,
        has_order,
        last_answer: AtomicU64::new(0),
        stall: Default::default(),
        next: AtomicU64::new(0),
    });
    std::thread::spawn({
        let worker = worker.clone();
        move || {
            // The first line says that it is over, and so does the end of whoever would say it.
            let _ = std::io::stdin().lock().read_line(&mut String::new());
            worker.stop.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_secs(30));
            std::process::exit(1);
        }
    });
    runtime.block_on(async {
        let _watcher = config.watch(limiter.clone()).unwrap();
        // A process that is started in an outage waits for its end.
        while let Err(error) = limiter.initialize().await {
            worker.tell(Event::Error(format!("{error:?}")));
            sleep(Duration::from_millis(100)).await;
        }
        tokio::spawn(watch_time(worker.clone()));
        tokio::spawn(tick(worker.clone()));
        serve(worker.clone()).await;
        call_all(&worker).await;
        limiter.close().await;
        if limiter.stats().in_flight > 0 {
            let held = limiter.stats().in_flight;
            worker.tell(Event::Wrong(format!("{held} permits are held at the end")));
        }
        worker.tell(Event::Done);
        sleep(Duration::from_millis(300)).await;
    });
    std::process::exit(0);
}

/// A bare timer that is as late as the machine makes it.
async fn watch_time(worker: Arc<Worker>) {
    const STEP: u64 = 10_000;
    for turn in 0_u64.. {
        let begun = now();
        sleep(Duration::from_micros(STEP)).await;
        let late = (now() - begun).saturating_sub(STEP);
        let stall = &worker.stall[(turn / 100 % 2) as usize];
        if turn % 100 == 0 {
            stall.store(0, Ordering::Relaxed);
        }
        stall.fetch_max(late, Ordering::Relaxed);
    }
}

async fn tick(worker: Arc<Worker>) {
    loop {
        sleep(Duration::from_millis(100)).await;
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
        let breaker = worker.limiter.stats().breaker.unwrap();
        worker.tell(Event::Tick(Tick {
            worker: worker.number,
            at: now(),
            is_closed: breaker.state == BreakerState::Closed,
            last_answer: worker.last_answer.load(Ordering::Relaxed),
            tasks: Handle::current().metrics().num_alive_tasks(),
            files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            memory: pages * 4,
        }));
    }
}
