//! What goes wrong, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use support::redis::{Fault, Proxy, RedisServer};

use super::dice::Dice;
use super::judge::Judge;

/// The faults so far, by kind.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) BTreeMap<&'static str, u64>);

impl Faults {
    /// Lets one fault happen, to all instances or to one, and ends it.
    pub(crate) fn next(
        &mut self,
        dice: &mut Dice,
        server: &mut RedisServer,
        proxies: &[Proxy],
        judges: &[&Judge],
    ) {
        let span = Duration::from_millis(100 + dice.roll(1_500));
        let delay = Duration::from_millis(dice.roll(250));
        let networks = [
            ("nobody listens", Fault::Refuse),
            ("nothing comes through", Fault::Hang),
            ("half open", Fault::HalfOpen),
            ("reset", Fault::Reset),
            ("requests are lost", Fault::DropRequest),
            ("replies are lost", Fault::DropReply),
            ("half a reply", Fault::CutReply),
            ("replies are late", Fault::Delay(delay)),
            ("replies trickle", Fault::Trickle(delay / 20)),
        ];
        let kind = match dice.roll(networks.len() as u64 + 6) as usize {
            kind if kind < networks.len() => {
                let (name, fault) = networks[kind];
                let alone = dice.roll(2 * proxies.len() as u64) as usize;
                let hit = if alone < proxies.len() { &proxies[alone..=alone] } else { proxies };
                hit.iter().for_each(|proxy| proxy.set(fault));
                std::thread::sleep(span);
                hit.iter().for_each(|proxy| proxy.set(Fault::None));
                name
            }
            9 => {
                server.freeze(true);
                std::thread::sleep(span);
                server.freeze(false);
                "the server stands still"
            }
            10 => {
                server.kill();
                std::thread::sleep(span);
                assert!(server.restart());
                "the server is killed, and keeps its data"
            }
            11 => {
                let _: () = server.ask("CONFIG SET maxmemory 1");
                std::thread::sleep(span);
                let _: () = server.ask("CONFIG SET maxmemory 0");
                "the server's memory is full"
            }
            12 => {
                let _: () = server.ask("SCRIPT FLUSH");
                "the scripts are gone"
            }
            13 => {
                let _: u64 = server.ask("CLIENT KILL TYPE normal SKIPME yes");
                "all connections are cut"
            }
            _ => {
                judges.iter().for_each(|judge| judge.loses());
                let _: () = server.ask("FLUSHALL");
                judges.iter().for_each(|judge| judge.lost());
                "the server loses its data"
            }
        };
        *self.0.entry(kind).or_default() += 1;
    }
}
