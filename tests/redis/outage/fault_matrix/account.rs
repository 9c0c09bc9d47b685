//! The account of a cell: what its calls were told, held against the limits, the deadline and what
//! the store has charged.

use std::fmt;
use std::time::{Duration, Instant};

use super::load::{AMPLE_KEYS, Call, PAUSE, TIGHT, TIGHT_KEYS, TIGHT_PERIOD, Told, first_answer};
use super::{BACK_OFF, DEADLINE};

/// The time by which a call may be later than a bare timer that is as late as any was.
const TOLERANCE: Duration = Duration::from_millis(20);

pub(super) struct Account<'a> {
    pub(super) name: String,
    pub(super) calls: &'a [Call],
    /// The units that each ample key has in use, by the store.
    pub(super) charged: Vec<u32>,
    /// The end of the fault.
    pub(super) healed: Instant,
    /// The probes of the breakers after it, until all keys were served.
    pub(super) probes: u64,
}

impl Account<'_> {
    fn count(&self, counts: impl Fn(&Call) -> bool) -> usize {
        self.calls.iter().filter(|call| counts(call)).count()
    }

    /// What was admitted is charged, what is not known may be, and nothing else is.
    pub(super) fn is_charged_once(&self) {
        for (key, charged) in self.charged.iter().enumerate() {
            let told =
                |told| self.count(|call| call.is_ample && call.key == key && call.told == told);
            let (admitted, unknown) = (told(Told::Admitted), told(Told::Unknown));
            let most = admitted + unknown;
            assert!(
                (admitted..=most).contains(&(*charged as usize)),
                "{}: key {key} was charged {charged} times, of {admitted} admitted and {unknown} \
                 unknown",
                self.name
            );
        }
        assert_eq!(self.count(|call| call.is_ample && call.told == Told::Refused), 0);
    }

    /// No window holds more than the limit. The server decided between a call's beginning and its
    /// end, so those that both began and ended within a window were decided in it.
    pub(super) fn is_within_limits(&self) {
        let limit = TIGHT.quotas()[0].limit() as usize;
        for key in 0..TIGHT_KEYS {
            let of_key =
                |call: &&Call| !call.is_ample && call.key == key && call.told == Told::Admitted;
            let admitted: Vec<&Call> = self.calls.iter().filter(of_key).collect();
            for first in &admitted {
                let until = first.begun + TIGHT_PERIOD;
                let within = |call: &&&Call| call.begun >= first.begun && call.ended < until;
                let within = admitted.iter().filter(within).count();
                assert!(within <= limit, "{}: {within} of {limit} of key {key}", self.name);
            }
        }
    }

    /// The latest call after a bare timer in its task, and the latest of these timers.
    fn lateness(&self) -> [Duration; 2] {
        let late = || self.calls.iter().filter_map(|call| call.lateness);
        let most = |times: &mut dyn Iterator<Item = Duration>| times.max().unwrap_or_default();
        [most(&mut late().map(|late| late.call)), most(&mut late().map(|late| late.bare))]
    }

    pub(super) fn is_in_time(&self) {
        let [call, bare] = self.lateness();
        assert!(call <= TOLERANCE + bare, "{}: {call:?} late, a timer {bare:?}", self.name);
    }

    /// The times until the first key and until the last key is answered, of those that were not when
    /// the fault ended; of all, if there was none.
    pub(super) fn healing(&self) -> [Duration; 2] {
        let is_down = |key: &usize| {
            let of_key = |call: &&Call| call.is_ample && call.key == *key;
            let before = |call: &&Call| call.ended <= self.healed;
            let last =
                self.calls.iter().filter(of_key).filter(before).max_by_key(|call| call.ended);
            last.is_some_and(|call| call.told != Told::Admitted)
        };
        let mut keys: Vec<usize> = (0..AMPLE_KEYS).filter(is_down).collect();
        if keys.is_empty() {
            keys = (0..AMPLE_KEYS).collect();
        }
        let times = keys.into_iter().map(|key| first_answer(self.calls, key, self.healed).unwrap());
        let times: Vec<Duration> = times.collect();
        [*times.iter().min().unwrap(), *times.iter().max().unwrap()]
    }
}

impl Account<'_> {
    /// The time after the fault in which no call ended though one should have: then the machine ran
    /// none of the callers.
    fn standstill(&self) -> Duration {
        let until = self.healed + self.healing()[1];
        let mut ends: Vec<Instant> = self.calls.iter().map(|call| call.ended).collect();
        ends.retain(|end| (self.healed..=until).contains(end));
        ends.extend([self.healed, until]);
        ends.sort_unstable();
        let gaps = ends.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.map(|gap| gap.saturating_sub(DEADLINE + PAUSE)).sum()
    }

    /// Returns `true` if the first answer came later than the breaker, the deadline of its probe and
    /// that of a call that was under way explain.
    pub(super) fn is_slow_to_heal(&self) -> bool {
        self.healing()[0] > BACK_OFF + 2 * DEADLINE + self.standstill()
    }
}

impl fmt::Display for Account<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |told| self.count(|call| call.told == told);
        let [first, last] = self.healing().map(|time| time.as_millis());
        let probes = self.probes;
        let still = self.standstill().as_millis();
        let [call, bare] = self.lateness();
        let charged: u32 = self.charged.iter().sum();
        let ample = self.count(|call| call.is_ample && call.told == Told::Admitted);
        write!(
            f,
            "{:<40} first answer {first:>4} ms, last key {last:>4} ms, {probes} probes (the \
             machine stood still for {still} ms); {} admitted, {} refused, {} unknown, {} not executed; ample: {charged} \
             charged of {ample}; late {call:.1?}, a timer {bare:.1?}",
            self.name,
            told(Told::Admitted),
            told(Told::Refused),
            told(Told::Unknown),
            told(Told::NotExecuted),
        )
    }
}
