//! Models of a request's way through the queue of a server: queued, sent, sent again, answered, given up
//! and cancelled. The worker here empties a node's queue by the same steps as the node's own, whose calls
//! need a connection.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;
use tokio::time::Instant;

use super::address::ServerAddress;
use super::batch::single_call;
use super::connect_options::ConnectOptions;
use super::connector::{Connector, Endpoint};
use super::credentials::{CredentialSettings, CredentialSource};
use super::failure::RequestError;
use super::node::Node;
use super::queue::MAX_CHECKS;
use super::reply::BatchReply;
use super::request::Request;
use super::script::{Keys, Plan, ScriptReply};
use super::worker::WorkerGuard;
use crate::backend::Execution;
use crate::exploration::{explore, pause};
use crate::operation::Operation;
use crate::{BackendError, Check, Policy, Quota};

static POLICY: Policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
/// The number of calls of a worker that the server does not carry out, at most.
const FAILURES: u32 = 2;

/// A node without a connection, and the server that its worker would reach.
struct QueuedServer {
    node: Arc<Node>,
    /// The requests that the server has carried out, by their slots.
    executed: Mutex<Vec<u16>>,
    failures: AtomicU32,
    workers: AtomicU32,
    /// The last worker.
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// The ends of a call.
enum CallEnd {
    Answered,
    /// The server has carried it out, but the reply is lost.
    Lost,
    /// The server is sure not to have carried it out.
    Failed,
}

impl QueuedServer {
    fn new() -> Arc<Self> {
        let options = ConnectOptions {
            credentials: CredentialSource::Settings(CredentialSettings::default()),
            database: 0,
            tls: None,
            pool_size: 1,
            max_age: Duration::from_secs(60),
        };
        let nowhere = Endpoint::Address(ServerAddress::Socket("/nowhere".into()));
        Arc::new(Self {
            node: Node::new(Connector::new(options, nowhere), None, None),
            executed: Mutex::default(),
            failures: AtomicU32::new(0),
            workers: AtomicU32::new(0),
            worker: Mutex::default(),
        })
    }

    /// Sends a request, and waits for its reply.
    async fn send(self: Arc<Self>, slot: u16) -> Result<ScriptReply, BackendError> {
        let plan = Plan::of(&Operation::charge(Check::new(&POLICY, "s", 1)));
        let deadline = Instant::now() + Duration::from_secs(60);
        let (request, receiver) = Request::new(Keys::default(), plan, slot, deadline);
        if self.node.queue.push_back(request) {
            // The guard is created before the task runs, as that of the node's worker.
            let guard = WorkerGuard { node: Arc::clone(&self.node), is_done: false };
            let worker = spawn(Arc::clone(&self).work(guard));
            *self.worker.lock().unwrap() = Some(worker);
        }
        receiver.receive().await
    }

    async fn work(self: Arc<Self>, mut guard: WorkerGuard) {
        while let Some(batch) = self.node.queue.next_batch(MAX_CHECKS) {
            assert_eq!(self.workers.fetch_add(1, Ordering::Relaxed), 0, "one worker at a time");
            let sent: Vec<Request> = batch.into_iter().filter(Request::mark_sent).collect();
            self.workers.fetch_sub(1, Ordering::Relaxed);
            yield_now().await;
            self.carry_out(sent);
        }
        guard.is_done = true;
    }

    fn carry_out(self: &Arc<Self>, requests: Vec<Request>) {
        let end = match thread_rng().gen_range(0..3) {
            0 => CallEnd::Answered,
            1 => CallEnd::Lost,
            _ if self.failures.fetch_add(1, Ordering::Relaxed) < FAILURES => CallEnd::Failed,
            _ => CallEnd::Answered,
        };
        let failure = match end {
            CallEnd::Failed => RequestError::Busy("BUSY".to_owned()),
            CallEnd::Answered | CallEnd::Lost => RequestError::Unknown("it is lost".to_owned()),
        };
        if !matches!(end, CallEnd::Failed) {
            self.executed.lock().unwrap().extend(requests.iter().map(|request| request.slot));
        }
        if matches!(end, CallEnd::Answered) {
            for request in requests {
                let numbers = [u64::from(request.slot)].into_iter().collect();
                request.respond(Ok(ScriptReply { now: 0, note: None, numbers }));
            }
            return;
        }
        let reply = BatchReply { calls: single_call(requests), values: Vec::new(), failure };
        let failed = reply.deliver().into_iter().map(|(request, _)| request);
        let again: Vec<Request> = failed.filter(Request::is_wanted).collect();
        assert!(!self.node.queue.push_front(again), "the worker is running");
    }

    fn times_executed(&self, slot: u16) -> usize {
        self.executed.lock().unwrap().iter().filter(|executed| **executed == slot).count()
    }
}

/// Who is told that nothing was done can rely on that, who is answered was served once, and nothing is
/// carried out twice. One caller is cancelled, and each may find its deadline over at any time.
#[test]
fn an_answer_says_what_the_server_has_done() {
    explore(|| {
        let server = QueuedServer::new();
        let callers = [0, 1, 2].map(|slot| spawn(Arc::clone(&server).send(slot)));
        pause();
        callers[0].abort();
        let told = callers.map(block_on);
        // Until the last worker is done.
        server.node.queue.close();
        block_on(server.node.queue.ended());
        for (slot, told) in (0..).zip(told) {
            let times = server.times_executed(slot);
            assert!(times <= 1, "{slot} was carried out {times} times");
            match told {
                Ok(Ok(reply)) => assert_eq!((times, reply.numbers[0]), (1, slot.into())),
                Ok(Err(error)) => {
                    assert!(times == 0 || error.execution() == Execution::Unknown, "{error}");
                }
                // It was cancelled.
                Err(_) => {}
            }
        }
        assert!(server.node.queue.is_empty() && !server.node.queue.has_worker());
    });
}

/// The end of a queue comes when all are answered, whoever has them: the worker or a caller that is alone.
/// Who waits for the end does not miss it.
#[test]
fn a_queue_ends_when_all_are_answered() {
    explore(|| {
        let server = QueuedServer::new();
        let is_direct = Arc::new(AtomicU32::new(0));
        let callers = [0, 1].map(|slot| spawn(Arc::clone(&server).send(slot)));
        let lone = {
            let (server, is_direct) = (Arc::clone(&server), Arc::clone(&is_direct));
            thread::spawn(move || {
                if server.node.queue.begin_direct() {
                    is_direct.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                    is_direct.fetch_sub(1, Ordering::Relaxed);
                    server.node.queue.end_direct();
                }
            })
        };
        pause();
        server.node.queue.close();
        block_on(server.node.queue.ended());
        assert_eq!(is_direct.load(Ordering::Relaxed), 0);
        assert!(server.node.queue.is_empty() && !server.node.queue.has_worker());
        let executed = server.executed.lock().unwrap().len();
        // Who comes now is told that nothing is done.
        let late = block_on(Arc::clone(&server).send(2)).unwrap_err();
        assert_eq!(late.execution(), Execution::NotExecuted);
        callers.into_iter().for_each(|caller| drop(block_on(caller).unwrap()));
        lone.join().unwrap();
        assert_eq!(server.executed.lock().unwrap().len(), executed);
    });
}

/// A worker that is stopped early leaves nobody waiting, and the next request starts another.
#[test]
fn a_worker_that_is_stopped_leaves_nobody_waiting() {
    explore(|| {
        let server = QueuedServer::new();
        let callers = [0, 1].map(|slot| spawn(Arc::clone(&server).send(slot)));
        pause();
        let worker = server.worker.lock().unwrap().take();
        if let Some(worker) = worker {
            worker.abort();
            _ = block_on(worker);
        }
        for (slot, caller) in (0..).zip(callers) {
            let told = block_on(caller).unwrap();
            let is_refuted = told.is_err_and(|error| error.execution() == Execution::NotExecuted);
            assert!(!is_refuted || server.times_executed(slot) == 0);
        }
        server.node.queue.close();
        block_on(server.node.queue.ended());
        assert!(server.node.queue.is_empty() && !server.node.queue.has_worker());
    });
}
