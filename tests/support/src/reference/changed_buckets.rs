//! Buckets of a policy whose limits, bursts and periods change. A bucket that is new takes over what
//! another one held after its last request, in whole units; one that the form in force lacks stands
//! aside, and takes along what others admit, until it would have been empty without that, and for a
//! period at least.

use tollgate::{Algorithm, Outcome};

use super::{Definition, Expected, MOST, Numbers, Reference, TEN_YEARS};

/// So many buckets stand aside.
const ASIDE: usize = 4;

/// All buckets of a subject.
#[derive(Clone, Debug, Default)]
pub struct ChangedBuckets {
    in_force: Vec<Bucket>,
    aside: Vec<Bucket>,
}

/// A bucket, whose level is counted in parts: a unit has as many as the period has microseconds, so
/// each microsecond takes as many as the limit.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    numbers: Numbers,
    /// When something was last poured in, and the level then.
    poured_at: u64,
    level: u128,
    /// Until when it stands aside.
    until: Option<u64>,
}

impl Bucket {
    fn empty(numbers: Numbers) -> Self {
        Self { numbers, poured_at: 0, level: 0, until: None }
    }

    /// A new one, with what `other` held.
    fn after(numbers: Numbers, other: &Self) -> Self {
        let mut bucket = Self::empty(numbers);
        bucket.pour(other.poured_at, other.units());
        bucket
    }

    fn parts(&self, units: u64) -> u128 {
        u128::from(units) * u128::from(self.numbers.period)
    }

    fn level_at(&self, now: u64) -> u128 {
        self.level.saturating_sub(u128::from(now - self.poured_at) * u128::from(self.numbers.limit))
    }

    /// Whole units after the last request.
    fn units(&self) -> u64 {
        u64::try_from(self.level.div_ceil(self.numbers.period.into())).unwrap().min(MOST)
    }

    fn empty_at(&self) -> u64 {
        self.poured_at + u64::try_from(self.level.div_ceil(self.numbers.limit.into())).unwrap()
    }

    /// Pours in what goes in.
    fn pour(&mut self, now: u64, units: u64) {
        // A debt may have made it fuller than full.
        let full = self.parts(self.numbers.capacity()).max(self.level_at(now));
        self.level = (self.level_at(now) + self.parts(units)).min(full);
        self.poured_at = now;
    }

    fn is_for(&self, numbers: &Numbers) -> bool {
        (self.numbers.limit, self.numbers.period) == (numbers.limit, numbers.period)
            && self.numbers.capacity() == numbers.capacity()
    }
}

impl Definition for Bucket {
    fn admits(&self, now: u64, units: u64) -> bool {
        self.level_at(now) + self.parts(units) <= self.parts(self.numbers.capacity())
    }

    fn charge(&mut self, now: u64, units: u64) {
        self.pour(now, units);
    }

    fn give_back(&mut self, _: u64, _: u64, _: u64, _: u64) -> bool {
        unreachable!("nobody asks it")
    }

    fn owe(&mut self, now: u64, units: u64) {
        let most = u128::from(TEN_YEARS) * u128::from(self.numbers.limit);
        let most = most.max(self.level_at(now));
        let units = units.min(self.numbers.longest_debt());
        self.level = (self.level_at(now) + self.parts(units)).min(most);
        self.poured_at = now;
    }
}

impl ChangedBuckets {
    fn all(&self) -> impl Iterator<Item = &Bucket> {
        self.in_force.iter().chain(&self.aside)
    }

    /// The buckets of a form: those that are there, or new ones.
    fn buckets(&self, numbers: &[Numbers], now: u64) -> Vec<Bucket> {
        let nothing_is_in_use = self.all().all(|bucket| bucket.empty_at() <= now);
        let bucket = |numbers: &Numbers| {
            let known = self.all().find(|bucket| bucket.is_for(numbers));
            let other = self.source(numbers).filter(|_| !nothing_is_in_use);
            match (known, other) {
                (Some(known), _) => Bucket { until: None, ..*known },
                (None, Some(other)) => Bucket::after(*numbers, other),
                (None, None) => Bucket::empty(*numbers),
            }
        };
        numbers.iter().map(bucket).collect()
    }

    /// The bucket with the shortest period that is long enough, or with the longest; of several, the
    /// one of which most is left in the new one, and of these the first.
    fn source(&self, new: &Numbers) -> Option<&Bucket> {
        let long_enough = || self.all().filter(|bucket| bucket.numbers.period >= new.period);
        let shortest = long_enough().map(|bucket| bucket.numbers.period).min();
        let longest = self.all().map(|bucket| bucket.numbers.period).max();
        let period = shortest.or(longest)?;
        let all = self.all().filter(|bucket| bucket.numbers.period == period);
        let left = |bucket: &Bucket| Bucket::after(*new, bucket).empty_at();
        all.reduce(|best, next| if left(next) > left(best) { next } else { best })
    }

    /// The form, after all that was admitted.
    fn judge(&self, algorithm: Algorithm, numbers: &[Numbers], now: u64) -> Reference {
        let buckets = self.buckets(numbers, now).into_iter();
        let buckets = buckets.map(|bucket| Box::new(bucket) as Box<dyn Definition>);
        Reference::of(algorithm, numbers, buckets.collect())
    }

    pub fn charge(&mut self, form: (Algorithm, &[Numbers]), now: u64, cost: u32) -> Expected {
        let expected = self.judge(form.0, form.1, now).charge(now, cost);
        if expected.outcome == Outcome::Allowed && cost > 0 {
            self.take(form.1, now, cost.into());
            return expected;
        }
        self.of_other_buckets(expected, now)
    }

    pub fn peek(&self, form: (Algorithm, &[Numbers]), now: u64, cost: u32) -> Expected {
        self.of_other_buckets(self.judge(form.0, form.1, now).peek(now, cost), now)
    }

    /// An answer by buckets that nobody has poured into yet: once those that are there are empty, nothing
    /// is known of the subject any more.
    fn of_other_buckets(&self, expected: Expected, now: u64) -> Expected {
        expected.forgotten_at(self.all().map(Bucket::empty_at).max(), now)
    }

    /// Takes what was admitted: the form is in force from now on.
    fn take(&mut self, numbers: &[Numbers], now: u64, units: u64) {
        let in_force = self.buckets(numbers, now);
        let mut aside: Vec<Bucket> = Vec::new();
        for bucket in self.all() {
            let until = bucket.empty_at().max(now + bucket.numbers.period);
            let until = bucket.until.unwrap_or(until);
            let others = in_force.iter().chain(&aside);
            let is_left = others.map(|other| &other.numbers).all(|other| !bucket.is_for(other));
            if is_left && bucket.empty_at() > now && until > now {
                aside.push(Bucket { until: Some(until), ..*bucket });
            }
        }
        while aside.len() > ASIDE {
            let least = aside.iter().map(Bucket::units).min();
            let least = aside.iter().position(|bucket| Some(bucket.units()) == least).unwrap();
            aside.remove(least);
        }
        *self = Self { in_force, aside };
        self.in_force.iter_mut().chain(&mut self.aside).for_each(|bucket| bucket.pour(now, units));
    }

    pub fn is_form(&self, numbers: &[Numbers]) -> bool {
        self.in_force.iter().map(|bucket| bucket.numbers).eq(numbers.iter().copied())
    }

    pub fn is_unused(&self, now: u64) -> bool {
        self.all().all(|bucket| bucket.empty_at() <= now)
    }

    /// Charges a debt to the form in force; to this one, if there is none.
    pub fn owe(&mut self, numbers: &[Numbers], now: u64, units: u32) {
        if self.in_force.is_empty() {
            self.in_force = self.buckets(numbers, now);
        }
        self.aside.retain(|bucket| bucket.empty_at() > now && bucket.until > Some(now));
        let all = self.in_force.iter_mut().chain(&mut self.aside);
        all.for_each(|bucket| bucket.owe(now, units.into()));
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}
