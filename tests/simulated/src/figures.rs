//! What a run comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tollgate::Source;

use crate::faults::Kind;
use crate::fleet::Fleet;

/// The breaches that are kept with their text.
const TOLD: usize = 10;

/// How long after the end of a fault, in microseconds, something was still otherwise than before: the
/// most of all faults of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// A request was decided without the store, or not at all.
    pub alone: u64,
    /// A request was admitted beyond the limit.
    pub over: u64,
    /// A request was refused within the limit.
    pub under: u64,
}

/// The figures of a run. Of the same seed they are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub limit: u64,
    pub requests: u64,
    /// The calls of the store, reached or not.
    pub calls: u64,
    pub admitted: u64,
    pub refused: u64,
    /// Neither admitted nor refused.
    pub failed: u64,
    pub refunds: u64,
    /// Whom an exact limiter admits that sees the same requests.
    pub exact: u64,
    /// Admitted although the limit was used up.
    pub over: u64,
    /// Refused although it was not.
    pub under: u64,
    pub under_in_calm: u64,
    /// The most that were admitted of a subject in a window.
    pub most: u64,
    /// Units of charges that failovers have lost.
    pub lost: u64,
    /// The subjects whose accounts were compared.
    pub audited: u64,
    pub sources: BTreeMap<&'static str, u64>,
    pub recoveries: BTreeMap<Kind, Recovery>,
    /// How often a promise was broken, and how at first.
    pub breaches: u64,
    pub told: Vec<String>,
}

impl Figures {
    pub fn new(fleet: &Fleet) -> Self {
        Self { limit: fleet.limit.into(), ..Self::default() }
    }

    pub fn breach(&mut self, at: u64, subject: usize, what: &str) {
        self.breaches += 1;
        if self.told.len() < TOLD {
            let seconds = at as f64 / 1e6;
            self.told.push(format!("at {seconds:.6} s, subject {subject}: {what}"));
        }
    }

    pub fn is_by(&self, source: Source) -> u64 {
        self.sources.get(name(source)).copied().unwrap_or(0)
    }

    pub fn count(&mut self, source: Source) {
        *self.sources.entry(name(source)).or_default() += 1;
    }

    pub fn heading() -> String {
        format!(
            "{:<22} {:>9} {:>7} {:>9} {:>9} {:>8} {:>8} {:>9} {:>6}",
            "", "requests", "calls", "admitted", "exact", "failed", "beyond", "too few", "window"
        )
    }

    /// The row of a mode in the table.
    pub fn row(&self, name: &str) -> String {
        let per_check = self.calls as f64 / self.requests.max(1) as f64;
        format!(
            "{name:<22} {:>9} {per_check:>7.3} {:>9} {:>9} {:>8} {:>8} {:>9} {:>6}",
            self.requests,
            self.share(self.admitted),
            self.share(self.exact),
            self.share(self.failed),
            self.share(self.over),
            self.share(self.under),
            self.most,
        )
    }

    fn share(&self, part: u64) -> String {
        match part {
            0 => "0".to_owned(),
            _ => format!("{:.4}%", part as f64 * 100.0 / self.requests.max(1) as f64),
        }
    }

    /// Who decided, and how long each kind of fault was felt after its end.
    pub fn details(&self) -> String {
        let mut text = String::from("   decided by:");
        for (source, count) in &self.sources {
            let _ = write!(text, " {source} {count}");
        }
        let Self { failed, refunds, lost, audited, breaches, .. } = self;
        let _ = writeln!(
            text,
            "\n   failed {failed}, beyond {}, too few {} (without a fault: {}), refunds {refunds}, \
             lost in failovers {lost}, accounts compared {audited}, promises broken {breaches}",
            self.over, self.under, self.under_in_calm
        );
        for (kind, recovery) in &self.recoveries {
            let [alone, over, under] = [recovery.alone, recovery.over, recovery.under]
                .map(|micros| format!("{:.1} s", micros as f64 / 1e6));
            let _ = writeln!(
                text,
                "   after {:<10} not by the store {alone:>8}, beyond {over:>8}, too few {under:>8}",
                kind.name()
            );
        }
        for breach in &self.told {
            let _ = writeln!(text, "   {breach}");
        }
        text
    }
}

fn name(source: Source) -> &'static str {
    match source {
        Source::Store => "store",
        Source::DenyCache => "deny cache",
        Source::Lease => "lease",
        Source::Local => "local",
        Source::Open => "open",
        _ => "another",
    }
}
