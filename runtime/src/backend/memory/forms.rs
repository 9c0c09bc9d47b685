//! The forms of the policies of a shard's keys.

use std::sync::Arc;

use thin_vec::ThinVec;

use super::policies::SharedPolicies;
use crate::Policy;

/// The policies whose quotas and algorithms the shard's slots follow. A slot has the number of its
/// policy, which takes two bytes, and charging a key changes no count of the policy's users. A shard has
/// few of them, so that they are found by trying all.
///
/// The first one lies in the shard's own cache line. A number that no slot has any more becomes that of
/// another policy, before there are more numbers.
#[derive(Default)]
pub(super) struct Forms {
    first: Option<Arc<Policy>>,
    others: ThinVec<Arc<Policy>>,
}

impl Forms {
    /// Returns the policy with a number that [`adopt`](Self::adopt) has returned for a slot.
    #[inline(always)]
    pub(super) fn get(&self, number: u16) -> &Policy {
        match (number, &self.first) {
            (0, Some(first)) => first,
            (1.., _) => &self.others[usize::from(number) - 1],
            (0, None) => unreachable!("a slot has the number of a policy that was added for it"),
        }
    }

    fn len(&self) -> u16 {
        // There are at most as many as slots, of which a shard has some hundreds.
        self.first.iter().len() as u16 + self.others.len() as u16
    }

    /// Returns the number of a policy, and adds the policy if no slot has had it. `used` are the numbers
    /// of all slots.
    #[cold]
    pub(super) fn adopt(
        &mut self,
        policy: &Policy,
        shared: &SharedPolicies,
        used: impl Iterator<Item = u16>,
    ) -> u16 {
        if let Some(number) = (0..self.len()).find(|number| {
            let known = self.get(*number);
            known.has_name_of(policy) && known.counts_like(policy)
        }) {
            return number;
        }
        let policy = shared.share(policy);
        if self.first.is_none() {
            self.first = Some(policy);
            return 0;
        }
        if self.others.len() == self.others.capacity()
            && let Some(free) = self.free(used)
        {
            match free.checked_sub(1) {
                Some(index) => self.others[usize::from(index)] = policy,
                None => self.first = Some(policy),
            }
            return free;
        }
        self.others.push(policy);
        self.len() - 1
    }

    /// Returns a number that no slot has.
    fn free(&self, used: impl Iterator<Item = u16>) -> Option<u16> {
        let mut is_used = vec![false; self.len().into()];
        used.for_each(|number| is_used[usize::from(number)] = true);
        is_used.iter().position(|is_used| !is_used).map(|number| number as u16)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Quota;

    #[test]
    fn numbers_are_given_back() {
        let (mut forms, shared) = (Forms::default(), SharedPolicies::default());
        let policy = |limit| Policy::new("policy", Quota::new(limit, Duration::from_secs(60)));
        let lasting = forms.adopt(&policy(1_000), &shared, std::iter::empty());
        // Each of the others has one slot, until the one after the next comes.
        let mut used = vec![lasting; 3];
        for limit in 1..1_000 {
            let number = forms.adopt(&policy(limit), &shared, used.iter().copied());
            assert!(forms.get(number).counts_like(&policy(limit)));
            assert_eq!(forms.adopt(&policy(limit), &shared, used.iter().copied()), number);
            used = vec![lasting, used[2], number];
            assert!(forms.get(lasting).counts_like(&policy(1_000)));
        }
        assert!(forms.len() <= 8, "{} numbers for 3", forms.len());
    }
}
