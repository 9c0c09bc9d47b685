//! Slots that move to another node of a cluster while their keys are checked.

use super::deployment::Deployment;
use super::fault::OneFault;
use support::redis::{RedisServer, eventually};

/// Keys of many slots; and many keys of one slot, of which some have moved and others have not.
pub(super) const KEY_BY_KEY: [OneFault; 2] =
    [slots_move("slots move", "tollgate:"), slots_move("slot with many keys moves", "{tollgate}:")];

const fn slots_move(name: &'static str, prefix: &'static str) -> OneFault {
    OneFault { name, begins: half_of_the_keys_move, ends: the_others_move, is_mild: true, prefix }
}

/// All keys of a slot at once.
pub(super) const AT_ONCE: [OneFault; 2] = [
    moves_at_once("slots move at once", "tollgate:"),
    moves_at_once("slot with many keys moves at once", "{tollgate}:"),
];

const fn moves_at_once(name: &'static str, prefix: &'static str) -> OneFault {
    OneFault { name, begins: slots_move_at_once, ends: |_| {}, is_mild: true, prefix }
}

/// The slots that move, and the nodes from and to which they do.
struct Move<'a> {
    from: &'a RedisServer,
    to: &'a RedisServer,
    keys: Vec<String>,
}

impl<'a> Move<'a> {
    /// Keys of one node, which has some, and the node after it.
    fn new(all: &'a Deployment) -> Self {
        let nodes: Vec<_> = all.primaries.iter().map(|number| &all.servers()[*number]).collect();
        let mut ample = nodes.iter().map(|node| node.ask::<Vec<String>>("KEYS *ample*"));
        let at = ample.position(|keys| !keys.is_empty()).unwrap();
        let (from, to) = (nodes[at], nodes[(at + 1) % nodes.len()]);
        Self { from, to, keys: from.ask("KEYS *") }
    }

    fn slots(&self) -> Vec<u16> {
        let mut slots: Vec<u16> =
            self.keys.iter().map(|key| self.from.ask(&format!("CLUSTER KEYSLOT {key}"))).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn migrate(&self, key: &str) {
        // A key that has expired meanwhile is none.
        self.from.ask::<String>(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", self.to.port));
    }
}

fn half_of_the_keys_move(all: &mut Deployment) {
    let moved = Move::new(all);
    let [from, to]: [String; 2] = [moved.from, moved.to].map(|node| node.ask("CLUSTER MYID"));
    for slot in moved.slots() {
        moved.to.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {from}"));
        moved.from.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to}"));
    }
    for key in moved.keys.iter().step_by(2) {
        moved.migrate(key);
    }
}

fn the_others_move(all: &mut Deployment) {
    // The nodes say which slots are on their way: `[slot->-node]`.
    let nodes: Vec<_> = all.primaries.iter().map(|number| &all.servers()[*number]).collect();
    let ids: Vec<String> = nodes.iter().map(|node| node.ask("CLUSTER MYID")).collect();
    for (from, _) in nodes.iter().zip(&ids) {
        let known: String = from.ask("CLUSTER NODES");
        let own = known.lines().find(|line| line.contains("myself")).unwrap();
        for word in own.split(' ').filter_map(|word| word.strip_prefix('[')) {
            let Some((slot, to)) = word.trim_end_matches(']').split_once("->-") else { continue };
            let at = ids.iter().position(|id| id == to).unwrap();
            let moved = Move { from, to: nodes[at], keys: Vec::new() };
            let keys: Vec<String> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 100"));
            keys.iter().for_each(|key| moved.migrate(key));
            for node in [nodes[at]].iter().chain(&nodes) {
                node.ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {to}"));
            }
        }
    }
}

/// The way of Valkey 9.0 and newer.
fn slots_move_at_once(all: &mut Deployment) {
    let moved = Move::new(all);
    let to: String = moved.to.ask("CLUSTER MYID");
    let ranges: Vec<String> =
        moved.slots().iter().map(|slot| format!("SLOTSRANGE {slot} {slot} NODE {to}")).collect();
    moved.from.ask::<()>(&format!("CLUSTER MIGRATESLOTS {}", ranges.join(" ")));
    eventually("the slots have moved", || {
        let left: Vec<String> = moved.from.ask("KEYS *");
        !left.iter().any(|key| moved.keys.contains(key))
    });
}
