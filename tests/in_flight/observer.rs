//! Somebody who knows nothing of the limiter, and counts who is at work at the same time: a server of
//! its own, to which everybody tells when they begin and when they end.

use redis::{Connection, Script};
use support::redis::{RedisServer, connection};

/// Adds to the count of a process, and keeps the largest sum of all.
const COUNT: &str = "
redis.call('HINCRBY', 'at work', ARGV[1], ARGV[2])
local sum = 0
for _, count in ipairs(redis.call('HVALS', 'at work')) do sum = sum + count end
if sum > tonumber(redis.call('GET', 'most') or 0) then redis.call('SET', 'most', sum) end
redis.call('INCR', 'reports')
return sum";

pub(crate) struct Observer {
    connection: Connection,
    script: Script,
    process: String,
}

impl Observer {
    pub(crate) fn at(url: &str, process: &str) -> Self {
        Self {
            connection: connection(url),
            script: Script::new(COUNT),
            process: process.to_owned(),
        }
    }

    pub(crate) fn of(server: &RedisServer, process: &str) -> Self {
        Self::at(&server.url(), process)
    }

    fn count(&mut self, by: i32) -> u32 {
        let mut call = self.script.prepare_invoke();
        call.arg(&self.process).arg(by).invoke(&mut self.connection).unwrap()
    }

    /// Somebody begins. Returns how many are at work then.
    pub(crate) fn begins(&mut self) -> u32 {
        self.count(1)
    }

    pub(crate) fn ends(&mut self) {
        self.count(-1);
    }

    /// Returns the largest number of those who were at work at the same time, and the number of reports.
    pub(crate) fn most(&mut self) -> (u32, u32) {
        let words = redis::cmd("MGET").arg("most").arg("reports").query(&mut self.connection);
        let (most, reports): (Option<u32>, Option<u32>) = words.unwrap();
        (most.unwrap_or(0), reports.unwrap_or(0))
    }
}
