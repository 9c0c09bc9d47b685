//! A store, the processes that use it, and who watches them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use redis::Commands as _;

use crate::Options;
use crate::clients::Clients;
use crate::conductor::{Conductor, change};
use crate::events::{Tick, now};
use crate::faults::Store;
use crate::figures::Figures;
use crate::lanes::{lanes, zone};
use crate::observer::Observer;

/// The kinds of promises. Who doubts must see each of them broken.
const PROMISES: [&str; 11] = [
    "again", "blocked", "growth", "order", "permits", "process", "recovery", "redis", "text",
    "time", "wait",
];

/// Returns `true` if every promise was kept; if they are doubted, if each was seen broken.
pub(crate) fn play_all(options: &Options) -> bool {
    let stores = ["single", "sentinel"];
    let is_meant = |store: &&str| options.store.as_ref().is_none_or(|name| name == store);
    let worlds: Vec<_> = stores
        .into_iter()
        .filter(is_meant)
        .map(|store| {
            let options = options.clone();
            (store, spawn(move || play(&options, store)))
        })
        .collect();
    let mut is_kept = true;
    for (store, world) in worlds {
        let Ok(figures) = world.join() else {
            println!("{store}: it has panicked");
            return false;
        };
        println!("\n{store}\n{}", figures.table());
        is_kept &= if options.doubts {
            let unseen: Vec<&str> = PROMISES
                .into_iter()
                .chain(["window"])
                .filter(|kind| !figures.wrong.contains_key(kind))
                .collect();
            println!("{store}: not seen broken: {unseen:?}");
            unseen.is_empty()
        } else {
            figures.count() == 0
        };
    }
    is_kept
}

fn play(options: &Options, name: &'static str) -> Figures {
    let store = match name {
        "single" => Store::single(options.workers),
        _ => Store::sentinel(),
    };
    let (zone, midnight) = zone(now());
    let (events, heard) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let folder = std::env::temp_dir().join(format!("tollgate-soak-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("limits.toml");
    std::fs::write(&file, "").unwrap();

    let mut conductor = Conductor {
        options: options.clone(),
        store,
        file: file.clone(),
        zone,
        events: events.clone(),
        ports: Arc::new(Mutex::new(vec![None; options.workers])),
        ticks: Arc::new(Mutex::new(vec![Tick::default(); options.workers])),
        workers: Vec::new(),
    };
    let memory = memory(&conductor.store);
    let lanes = lanes(options.workers as u32, zone);
    let clients = Clients {
        lanes: lanes.clone(),
        ports: conductor.ports.clone(),
        events: events.clone(),
        stop: stop.clone(),
        seed: options.seed,
        load: options.load,
    };
    (0..options.workers).for_each(|number| conductor.start(number));
    let clients = spawn(move || clients.run());
    let changes = spawn({
        let (stop, events, seed) = (stop.clone(), events.clone(), options.seed);
        move || change(file, seed, &stop, &events)
    });
    let from = now();
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let doubts = options.doubts;
    let conducted = spawn(move || {
        conductor.conduct(until);
        let rest = until.saturating_duration_since(Instant::now());
        sleep(rest);
        let until = now();
        stop.store(true, Ordering::Relaxed);
        conductor.end();
        let _ = clients.join();
        let _ = changes.join();
        (forgets(&conductor.store, memory, doubts), until)
    });
    drop(events);

    let mut observer = Observer::new(name, lanes, midnight, doubts);
    let mut judged = Instant::now();
    loop {
        match heard.recv_timeout(Duration::from_millis(500)) {
            Ok(event) => observer.hears(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if judged.elapsed() > Duration::from_secs(2) {
            judged = Instant::now();
            observer.judge(now());
        }
    }
    // All have told what there was.
    observer.judge(now() + 600_000_000);
    let (redis, until) = conducted.join().unwrap();
    let mut figures = observer.figures;
    figures.judge_growth(from, until, doubts);
    match redis {
        Ok(text) => figures.redis = text,
        Err(text) => figures.wrong("redis", text),
    }
    let _ = std::fs::remove_dir_all(PathBuf::from(&folder));
    figures
}

fn info(store: &Store, section: &str, name: &str) -> u64 {
    let info: String = store.primary().ask(&format!("INFO {section}"));
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

fn memory(store: &Store) -> u64 {
    info(store, "memory", "used_memory")
}

/// Waits until the store has forgotten all but what counts until the end of a day.
fn forgets(store: &Store, before: u64, doubts: bool) -> Result<String, String> {
    let patience = Duration::from_secs(if doubts { 0 } else { 60 });
    let since = Instant::now();
    let mut connection = store.primary().connection();
    loop {
        let keys: Vec<String> = connection.keys("*").unwrap();
        let (days, others): (Vec<String>, Vec<String>) =
            keys.into_iter().partition(|key| key.starts_with("tollgate:3:day:"));
        if others.is_empty() {
            let _: () = days.iter().map(|key| connection.del::<_, ()>(key).unwrap()).collect();
            sleep(Duration::from_secs(2));
            let (left, after) = (info(store, "keyspace", "db0"), memory(store));
            let text = format!(
                "the store: {} days, then {left} keys; {} kB at first, {} kB at the end, all forgotten after {:.0?}",
                days.len(),
                before / 1024,
                after / 1024,
                since.elapsed()
            );
            return if after > before + (4 << 20) { Err(text) } else { Ok(text) };
        }
        if since.elapsed() > patience {
            return Err(format!(
                "{} keys are left: {:?}",
                others.len(),
                &others[..others.len().min(5)]
            ));
        }
        sleep(Duration::from_millis(500));
    }
}
