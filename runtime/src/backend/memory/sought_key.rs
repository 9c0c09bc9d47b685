//! The search for the slot of a key in a shard.

use super::forms::Forms;
use super::key::{KeyHasher, SlotKey};
use super::table::{Keyed, SlotTable};
use crate::Policy;

/// Returns the function that computes the hash of a slot in a shard with these policies.
#[inline(always)]
pub(super) fn hash_of<'a, S: Keyed>(
    hasher: &'a KeyHasher,
    forms: &'a Forms,
) -> impl Fn(&S) -> u32 + 'a {
    // The lower half of the hash is for the place in the shard.
    move |slot| hasher.hash(slot.key(), forms.get(slot.form()).name_hash()) as u32
}

/// Returns `true` if the slots of a policy's subjects are those of half a line, unless their state is of
/// another form of the policy or has more in it.
#[inline(always)]
pub(super) fn is_half(policy: &Policy) -> bool {
    policy.only_quota().is_some() && policy.get_algorithm().has_bucket()
}

/// A key that is sought, and the lower half of its hash.
#[derive(Clone, Copy)]
pub(super) struct SoughtKey {
    pub(super) key: SlotKey,
    pub(super) hash: u32,
}

impl SoughtKey {
    /// Returns the place of the slot under the policies of this one's name, in a table of a shard with
    /// these forms, and the policy that the slot follows.
    #[inline(always)]
    pub(super) fn place_in<'a, S: Keyed>(
        self,
        table: &SlotTable<S>,
        policy: &Policy,
        (forms, hasher): (&'a Forms, &KeyHasher),
    ) -> Option<(usize, &'a Policy)> {
        let accepted = move |form| {
            let own = forms.get(form);
            own.has_name_of(policy).then_some(own)
        };
        table.find((self.key, self.hash), accepted, hash_of(hasher, forms))
    }
}
