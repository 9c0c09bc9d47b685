//! Requests that wait for their turn, at a handler and at a layer: spaced, in order, with the body
//! unread, and a place is free as soon as its client has gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use support::{header, local};
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer, rate_limit};
use tower::ServiceExt as _;

const SPACE: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

type PendingAnswer = Pin<Box<dyn Future<Output = Response<Body>>>>;

/// What has happened: which body was read first, by the number of its request.
type Log = Arc<Mutex<Vec<usize>>>;

/// A body that notes when it is first read.
struct Noted {
    index: usize,
    read: Log,
    is_read: bool,
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.is_read {
            return Poll::Ready(None);
        }
        self.is_read = true;
        self.read.lock().unwrap().push(self.index);
        Poll::Ready(Some(Ok(http_body::Frame::data(self.index.to_string().into()))))
    }
}

async fn number(State(handled): State<Log>, body: String) -> String {
    handled.lock().unwrap().push(body.parse().unwrap());
    body
}

#[rate_limit(
    10, per = second, algorithm = leaky_bucket, burst = 500, key = global, wait = "1h",
    name = "at the door: spaced"
)]
async fn spaced(state: State<Log>, body: String) -> String {
    number(state, body).await
}

#[rate_limit(10, per = second, key = global, wait = "1h", name = "at the door: window")]
async fn windowed(state: State<Log>, body: String) -> String {
    number(state, body).await
}

#[rate_limit(
    1, per = second, algorithm = leaky_bucket, burst = 100, key = global, wait = "5s",
    name = "at the door: patience"
)]
async fn patient(state: State<Log>, body: String) -> String {
    number(state, body).await
}

fn layered(policy: Policy, wait: Duration) -> Router<Log> {
    let layer = RateLimitLayer::new(policy).key(Key::global()).wait(wait);
    Router::new().route("/", post(number)).layer(layer)
}

/// The requests at a door, which are polled only by the test.
struct Door {
    router: Router,
    clock: ManualClock,
    read: Log,
    handled: Log,
    waiting: Vec<Option<PendingAnswer>>,
    answers: Vec<Option<Response<Body>>>,
}

impl Door {
    fn new(router: Router<Log>) -> Self {
        let clock = ManualClock::new();
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let limiter = Limiter::builder(backend).clock(clock.clone()).build();
        let (read, handled) = (Log::default(), Log::default());
        let router = local(router.with_state(Arc::clone(&handled)), &limiter);
        Self { router, clock, read, handled, waiting: Vec::new(), answers: Vec::new() }
    }

    fn comes(&mut self) {
        let index = self.waiting.len();
        let body = Noted { index, read: Arc::clone(&self.read), is_read: false };
        let request = Request::post("/").body(Body::new(body)).unwrap();
        let router = self.router.clone();
        let response = async { router.oneshot(request).await.unwrap() };
        self.waiting.push(Some(Box::pin(response)));
        self.answers.push(None);
        self.run();
    }

    fn hangs_up(&mut self, index: usize) {
        self.waiting[index] = None;
        self.run();
    }

    /// Polls all until none makes progress, the last to come first.
    fn run(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let mut progress = false;
            for (index, waiting) in self.waiting.iter_mut().enumerate().rev() {
                let Some(future) = waiting else { continue };
                if let Poll::Ready(response) = future.as_mut().poll(&mut context) {
                    (*waiting, self.answers[index], progress) = (None, Some(response), true);
                }
            }
            if !progress {
                return;
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        self.clock.advance(span);
        self.run();
    }

    /// The requests that were handled so far, in their order. Nobody else's body was read.
    fn handled(&self) -> Vec<usize> {
        let handled = self.handled.lock().unwrap().clone();
        assert_eq!(*self.read.lock().unwrap(), handled, "a body was read before its turn");
        handled
    }
}

fn doors() -> [Router<Log>; 2] {
    let policy = Policy::new("at the door: layer", Quota::new(10, SECOND).burst(500));
    let policy = policy.algorithm(Algorithm::LeakyBucket);
    [Router::new().route("/", post(spaced)), layered(policy, 3_600 * SECOND)]
}

#[test]
fn twice_the_rate_is_admitted_spaced_and_in_order() {
    for door in doors() {
        let mut door = Door::new(door);
        // By each tick, one more request has come, and every second time one more is admitted.
        for tick in 0..500 {
            door.comes();
            assert_eq!(door.handled(), (0..=tick / 2).collect::<Vec<_>>());
            door.pass(SPACE / 2);
        }
        for admitted in 251..=500 {
            assert_eq!(door.handled().len(), admitted);
            door.pass(SPACE - Duration::from_micros(1));
            assert_eq!(door.handled().len(), admitted, "a microsecond early");
            door.pass(Duration::from_micros(1));
        }
        assert_eq!(door.handled(), (0..500).collect::<Vec<_>>());
        assert!(door.answers.iter().flatten().all(|answer| answer.status() == StatusCode::OK));
        assert_eq!(door.answers.iter().flatten().count(), 500);
    }
}

/// Every third client hangs up while it waits: the others move up, and no turn is lost.
#[test]
fn a_client_that_hangs_up_frees_its_place() {
    for door in doors() {
        let mut door = Door::new(door);
        (0..300).for_each(|_| door.comes());
        (1..300).filter(|index| index % 3 == 0).for_each(|index| door.hangs_up(index));
        let stay: Vec<usize> = (0..300).filter(|index| *index == 0 || index % 3 != 0).collect();
        for admitted in 1..=stay.len() {
            assert_eq!(door.handled(), stay[..admitted]);
            door.pass(SPACE);
        }
        assert_eq!(door.handled(), stay);
    }
}

/// A window admits as many at once as it has room for, and the next when the first have left it.
#[test]
fn a_window_admits_in_its_own_steps() {
    let policy = Policy::new("at the door: window layer", Quota::new(10, SECOND));
    let layer = layered(policy, 3_600 * SECOND);
    for door in [Router::new().route("/", post(windowed)), layer] {
        let mut door = Door::new(door);
        let mut admitted = Vec::new();
        // By ticks of 50 ms, of which a second has twenty.
        for tick in 0..1_000 {
            if tick < 500 {
                door.comes();
            }
            let come = 500.min(tick + 1);
            let in_window = |admitted: &[usize]| {
                admitted.iter().rev().take_while(|at| tick - **at < 20).count()
            };
            while admitted.len() < come && in_window(&admitted) < 10 {
                admitted.push(tick);
            }
            assert_eq!(door.handled(), (0..admitted.len()).collect::<Vec<_>>(), "{tick}");
            door.pass(SPACE / 2);
        }
        assert_eq!(admitted.len(), 500);
    }
}

/// Whoever cannot be admitted within the patience is refused at once, and told its turn.
#[test]
fn whoever_would_wait_too_long_is_told_its_turn() {
    let policy = Policy::new("at the door: patience layer", Quota::new(1, SECOND).burst(100));
    let policy = policy.algorithm(Algorithm::LeakyBucket);
    let layer = layered(policy, 5 * SECOND);
    for door in [Router::new().route("/", post(patient)), layer] {
        let mut door = Door::new(door);
        (0..9).for_each(|_| door.comes());
        // One is admitted. Nobody asks the store for those who wait, so six of them may have a turn
        // within five seconds, for all that is certain. The turn of the next is known.
        let answered = door.answers.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(answered, [true, false, false, false, false, false, false, true, true]);
        for answer in door.answers[7..].iter().flatten() {
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(header(answer, "retry-after"), Some("7"));
            assert!(header(answer, "ratelimit").unwrap().contains("r=0;t=7"));
        }
        // A place is free again, for whoever comes next.
        door.hangs_up(3);
        door.comes();
        assert!(door.answers[9].is_none());
        (0..5).for_each(|_| door.pass(SECOND));
        assert_eq!(*door.handled.lock().unwrap(), [0, 1, 2, 4, 5, 6]);
        // The patience of the last has ended a second before its turn.
        let answer = door.answers[9].as_ref().unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(answer, "retry-after"), Some("1"));
    }
}
