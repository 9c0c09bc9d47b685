//! A walk through the keys of a Redis, at a pace by which others hardly notice it.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tollgate::backend::{StoredKey, StoredKeys};

use super::pace::{Pace, Work};

/// After so many steps the server is asked what they took; first after fewer.
const ASK_AFTER: u32 = 64;
const FIRST_ASK_AFTER: u32 = 8;
/// The number of times that the round trip to a server is looked at before the first step.
const PINGS: u32 = 5;
/// The time between two lines of progress for whoever reads a file.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The keys, as they are found.
pub(crate) struct Walk {
    keys: StoredKeys,
    pace: Pace,
    /// The pause that the last steps ask for.
    pause: Duration,
    /// The time that the server had spent when it was asked last, and the steps and keys since then.
    spent: Option<Duration>,
    steps: u32,
    looked_at: u32,
    ask_after: u32,
    /// The number of servers that were left at the last step.
    servers: usize,
    progress: Progress,
}

impl Walk {
    pub(crate) async fn new(keys: StoredKeys, share: f64) -> Self {
        // Without this right, nobody knows how far it is.
        let total = keys.keys_on_servers().await.ok();
        let progress = Progress::new(total);
        let pace = Pace::new(share);
        Self {
            keys,
            pace,
            pause: Duration::ZERO,
            spent: None,
            steps: 0,
            looked_at: 0,
            ask_after: FIRST_ASK_AFTER,
            servers: 0,
            progress,
        }
    }

    /// Returns the next keys, after a pause; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<StoredKey>>, Box<dyn Error>> {
        tokio::time::sleep(std::mem::take(&mut self.pause)).await;
        self.measure().await?;
        let count = self.pace.count();
        let since = Instant::now();
        let Some(found) = self.keys.step(count).await? else {
            self.progress.finish();
            return Ok(None);
        };
        self.steps += 1;
        self.looked_at += count;
        self.took(Work::Listing, count, since.elapsed());
        self.progress.add(count.into());
        Ok(Some(found))
    }

    /// Notes that work on so many keys took so long.
    pub(crate) fn took(&mut self, work: Work, keys: u32, took: Duration) {
        self.pause += self.pace.after(work, keys, took);
    }

    /// Returns how many keys with the prefix are those of no subject.
    pub(crate) fn others(&self) -> u64 {
        self.keys.others()
    }

    /// Clears the progress, for a line of output.
    pub(crate) fn aside(&self, print: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
        self.progress.bar.suspend(print)
    }

    /// Looks at the line to a server, and from time to time asks it for its own account.
    async fn measure(&mut self) -> Result<(), Box<dyn Error>> {
        if self.servers != self.keys.servers_left() {
            self.servers = self.keys.servers_left();
            self.pace.begin_server();
            for _ in 0..PINGS {
                if let Some(round_trip) = self.keys.round_trip().await? {
                    self.pace.idle(round_trip);
                }
            }
            self.spent = self.keys.time_spent().await;
            (self.steps, self.looked_at, self.ask_after) = (0, 0, FIRST_ASK_AFTER);
        } else if self.steps >= self.ask_after {
            let spent = self.keys.time_spent().await;
            if let (Some(before), Some(now)) = (self.spent, spent) {
                self.pace.told(self.looked_at, now.saturating_sub(before));
            }
            self.spent = spent;
            (self.steps, self.looked_at, self.ask_after) = (0, 0, ASK_AFTER);
        }
        Ok(())
    }
}

/// Tells how far it is, on standard error.
struct Progress {
    bar: ProgressBar,
    total: Option<u64>,
    looked_at: u64,
    /// The time at which it was last told of in a line; `None` on a terminal, which has a bar.
    told: Option<Instant>,
}

impl Progress {
    fn new(total: Option<u64>) -> Self {
        let (bar, style) = match total {
            Some(total) => {
                (ProgressBar::new(total), "{bar:40} {percent}% of {human_len} keys, {eta} left")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {human_pos} keys"),
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let told = (!stderr().is_terminal()).then(Instant::now);
        Self { bar, total, looked_at: 0, told }
    }

    fn add(&mut self, keys: u64) {
        self.looked_at += keys;
        self.bar.inc(keys);
        if let Some(told) = self.told
            && told.elapsed() >= TOLD_EVERY
        {
            self.told = Some(Instant::now());
            let of = self.total.map_or(String::new(), |total| format!(" of {}", HumanCount(total)));
            eprintln!("tollgate keys: looked at {}{of} keys", HumanCount(self.looked_at));
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
