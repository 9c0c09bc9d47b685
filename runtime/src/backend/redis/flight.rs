//! A flight: carries what waits in a lane to its server, call after call, until nothing waits.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::job::Job;
use super::landed::{Call, Landed};
use super::lane::{Lane, SHORTEST_PAUSE};
use super::script;
use crate::telemetry;

const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What flies; if it ends before its time, with its runtime, those who wait learn of it and
/// the next one starts anew.
pub(super) struct Flying {
    pub(super) lane: Arc<Lane>,
    /// Whether it has found nothing more to carry. From then on the next flight may be
    /// under way already.
    pub(super) has_landed: bool,
}

impl Drop for Flying {
    fn drop(&mut self) {
        if !self.has_landed {
            self.lane.abandon();
        }
        self.lane.landed.notify_waiters();
    }
}

pub(super) async fn fly(mut flying: Flying) {
    let lane = Arc::clone(&flying.lane);
    let mut pause = SHORTEST_PAUSE;
    let mut load = false;
    let mut landed: Option<Landed> = None;
    let mut again = Vec::new();
    loop {
        // Those who wait leave before the answers are handed out, so that the server need not stand
        // idle meanwhile; but after what has to be sent again.
        let is_plain = |landed: &mut Landed| landed.is_answered() && lane.has_waiting();
        if let Some(landed) = landed.take_if(|landed| !again.is_empty() || !is_plain(landed)) {
            again.extend(landed.deliver());
            load = again.iter().any(|(_, failure)| matches!(failure, Failure::NoScript));
            if again.is_empty() {
                pause = SHORTEST_PAUSE;
            } else {
                lane.resend(std::mem::take(&mut again), pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
        let Some(batch) = lane.board() else { break };
        let handed_out = async {
            let Some(landed) = landed.take() else { return Vec::new() };
            // The driver writes the call meanwhile.
            tokio::task::yield_now().await;
            landed.deliver()
        };
        let (next, failed) = tokio::join!(carry(&lane, batch, load), handed_out);
        (landed, again) = (Some(next), failed);
    }
    flying.has_landed = true;
    // Whoever waited has given up, so these have not been handed out.
    if let Some(landed) = landed {
        let failed = landed.deliver();
        lane.resubmit(failed.into_iter().map(|(job, _)| job).collect());
    }
}

/// Carries the jobs to the server, and brings what it says back.
async fn carry(lane: &Lane, batch: Vec<Job>, load: bool) -> Landed {
    let last = batch.iter().map(|job| job.deadline).max();
    let mut connection = match lane.link.connection_by(last.unwrap_or_else(Instant::now)).await {
        Ok(connection) => connection,
        Err(failure) => {
            return Landed { calls: grouped(lane, batch), values: Vec::new(), failure };
        }
    };
    let batch: Vec<Job> = batch.into_iter().filter(Job::mark_sent).collect();
    let calls = grouped(lane, batch);
    let jobs = || calls.iter().flat_map(|call| &call.jobs);
    let unknown = |reason: &str| Failure::Unknown(reason.to_owned());
    let Some(deadline) = jobs().map(|job| job.deadline).max() else {
        return Landed { calls, values: Vec::new(), failure: unknown("nobody asks") };
    };
    let (since, checks) = (Instant::now(), jobs().count());
    lane.count_trip(checks);
    let micros = lane.virtual_time.as_ref().map(|clock| clock.now_micros());
    let sent = timeout_at(deadline, send(&mut connection, &calls, load, micros)).await;
    telemetry::round_trip(checks, since.elapsed());
    let (values, failure) = match sent {
        Ok(Ok(values)) => (values, unknown("the server answered too little")),
        Ok(Err(error)) => (Vec::new(), Failure::of_sent(&error)),
        Err(_) => (Vec::new(), unknown("no answer before the deadline")),
    };
    if values.is_empty() && !failure.may_be_resent() {
        // Whatever still comes through it answers what nobody asks any more.
        lane.link.discard().await;
    }
    Landed { calls, values, failure }
}

/// A single server gets one call; a node of a cluster one for each slot.
fn grouped(lane: &Lane, batch: Vec<Job>) -> Vec<Call> {
    if lane.cluster.is_none() {
        return vec![Call { slot: 0, asking: false, alone: false, jobs: batch }];
    }
    let mut calls: Vec<Call> = Vec::new();
    for job in batch {
        let shared = |call: &&mut Call| !call.alone && !call.asking && call.slot == job.slot;
        if !job.alone
            && !job.asking
            && let Some(call) = calls.iter_mut().find(shared)
        {
            call.jobs.push(job);
        } else {
            let Job { slot, asking, alone, .. } = job;
            calls.push(Call { slot, asking, alone, jobs: vec![job] });
        }
    }
    calls
}

/// Sends all calls in one write.
async fn send(
    connection: &mut MultiplexedConnection,
    calls: &[Call],
    load: bool,
    micros: Option<u64>,
) -> RedisResult<Vec<Value>> {
    let command = |call: &Call| -> Cmd {
        script::call(call.jobs.iter().map(|job| (&*job.key, &job.plan)), micros)
    };
    if let [call] = calls
        && !call.asking
        && !load
    {
        return Ok(vec![connection.send_packed_command(&command(call)).await?]);
    }
    let mut pipeline = Pipeline::with_capacity(calls.len() + 1);
    if load {
        pipeline.add_command(script::load());
    }
    for call in calls {
        if call.asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(command(call));
    }
    let count = pipeline.len();
    let mut values = connection.send_packed_commands(&pipeline, 0, count).await?;
    if load && !values.is_empty() {
        values.remove(0);
    }
    Ok(values)
}
