//! A block: nobody passes on any door, whatever it costs, and whatever becomes of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use support::exporter::Exporter;
use support::{FailingBackend, local, send};
use tollgate::testing::scope;
use tollgate::{
    Backend, BackendError, Key, Limiter, LimiterBuilder, MemoryBackend, Metrics, OnError, Outcome,
    Override, Overrides, PerSubject, Policy, Quota, RateLimitLayer, RateLimited, Source, Subject,
    rate_limit,
};

const NAME: &str = "blocks";
const QUOTA: Quota = Quota::per_minute(5);
const POLICY: Policy = Policy::new(NAME, QUOTA);
/// The subject of all doors.
const WHO: &str = "192.0.2.1";

#[rate_limit(5, per = minute, group = "blocks")]
async fn handler() {}

#[rate_limit(9, per = minute, name = "blocks: in front", key = global)]
#[rate_limit(5, per = minute, group = "blocks")]
async fn stacked() {}

#[rate_limit(5, per = minute, group = "blocks", key = args(who))]
async fn function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(5, per = minute, group = "blocks", key = args(who), wait = "1h")]
async fn waits(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(5, per = minute, group = "blocks", key = args(who))]
fn plain(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// The ways to block, by an override of the policy or of the subject.
fn blocks() -> Vec<Override> {
    let new = Override::new;
    vec![
        new().block(true),
        new().limit(0),
        new().limit(0).per(Duration::from_secs(9)),
        new().block(true).limit(7).on_error(OnError::Open),
        new().quotas([Quota::BLOCKED]),
        new().quotas([Quota::per_hour(100), Quota::BLOCKED]),
        new().limit(0).on_error(OnError::Open),
    ]
}

/// A limiter that blocks the subject, by the policy's override or by its own.
fn blocking(builder: LimiterBuilder, changes: &Override, is_own: bool) -> Limiter {
    if is_own {
        let plans = PerSubject::default().with(NAME, Subject::ip([192, 0, 2, 1]), changes.clone());
        return builder.instances(1).declare(POLICY).per_subject(plans).build();
    }
    let limiter = builder.instances(1).declare(POLICY).build();
    limiter.set_overrides(Overrides::new().with(NAME, changes.clone())).unwrap();
    limiter
}

async fn outcomes(limiter: &Limiter, policy: &Policy) -> Vec<(Outcome, Source)> {
    let mut outcomes = Vec::new();
    let hour = Duration::from_secs(3_600);
    for cost in [0, 1, 5, 6] {
        let now = limiter.check_now(policy, WHO, cost).unwrap().unwrap();
        for decision in [
            limiter.check(policy, WHO).await.unwrap(),
            limiter.check_cost(policy, WHO, cost).await.unwrap(),
            limiter.peek(policy, WHO, cost).await.unwrap(),
            limiter.wait(policy, WHO, cost, hour).await.unwrap(),
            now,
        ] {
            assert_eq!((decision.retry_after(), decision.remaining()), (None, 0));
            outcomes.push((decision.outcome(), decision.source()));
            assert!(!limiter.refund(decision).await.unwrap());
        }
    }
    outcomes
}

/// The status of each door over HTTP, none of which may have a time to retry.
async fn statuses(limiter: &Limiter) -> Vec<u16> {
    let layer = RateLimitLayer::new(POLICY);
    let nested = RateLimitLayer::new(POLICY).key(Key::ip());
    let app = Router::new()
        .route("/layer", get(async || ()).layer(layer))
        .route("/handler", get(handler).layer(nested))
        .route("/alone", get(handler))
        .route("/stacked", get(stacked));
    let app = local(app, limiter);
    let mut statuses = Vec::new();
    for path in ["/layer", "/handler", "/alone", "/stacked"] {
        let response = send(&app, support::get(path)).await;
        statuses.push(response.status().as_u16());
        if response.status() == 403 {
            assert!(!response.headers().contains_key("retry-after"));
            let body = support::json(response).await;
            assert_eq!(body["type"], "urn:problem-type:tollgate:blocked");
            assert_eq!((&body["status"], &body["violated-policies"]), (&403.into(), &().into()));
        }
    }
    statuses
}

async fn calls(limiter: &Limiter) -> Vec<Result<(), Outcome>> {
    scope(limiter.clone(), async {
        [function(WHO).await, waits(WHO).await, plain(WHO)]
            .map(|called| called.map_err(|limited| limited.decision().unwrap().outcome()))
            .to_vec()
    })
    .await
}

/// The stores: one that counts, and one that is away, with each mode.
fn builders() -> Vec<(LimiterBuilder, bool)> {
    let away = |mode| (Limiter::builder(FailingBackend).on_error(mode), true);
    let memory = Limiter::builder(MemoryBackend::new());
    vec![(memory, false), away(OnError::Closed), away(OnError::Open), away(OnError::Local)]
}

#[tokio::test]
async fn nobody_passes_on_any_door() {
    for changes in blocks() {
        for is_own in [true, false] {
            for (builder, is_away) in builders() {
                let limiter = blocking(builder, &changes, is_own);
                let expected = (Outcome::Blocked, Source::Policy);
                for outcome in outcomes(&limiter, &POLICY).await {
                    assert_eq!(outcome, expected, "{changes} {is_own} {is_away}");
                }
                let mut statuses = statuses(&limiter).await;
                // The limit in front does what it does in an outage.
                let stacked = statuses.pop().unwrap();
                assert!(stacked == 403 || is_away && stacked == 503, "{changes} {stacked}");
                assert_eq!(statuses, [403; 3], "{changes} {is_own} {is_away}");
                assert_eq!(calls(&limiter).await, [Err(Outcome::Blocked); 3], "{changes}");
            }
        }
    }
}

/// Others of the same policy pass as ever.
#[tokio::test]
async fn a_subject_alone_is_blocked() {
    let limiter =
        blocking(Limiter::builder(MemoryBackend::new()), &Override::new().block(true), true);
    let other = Subject::ip([192, 0, 2, 2]);
    for admitted in [true, true, true, true, true, false] {
        let decision = limiter.check(&POLICY, &other).await.unwrap();
        assert_eq!(decision.is_allowed(), admitted);
    }
}

/// Of a subject, the operator's block of the policy is lifted by name only.
#[tokio::test]
async fn a_block_is_lifted_only_by_saying_so() {
    let of = |who: &str| match who {
        "lifted" => Some(Override::new().block(false)),
        "lifted and more" => Some(Override::new().block(false).limit(2)),
        "more" => Some(Override::new().limit(2)),
        "quotas" => Some(Override::new().quotas([QUOTA])),
        "off" => Some(Override::new().enabled(false)),
        _ => None,
    };
    let plans = PerSubject::new(move |_, who| of(who));
    let limiter =
        Limiter::builder(MemoryBackend::new()).instances(1).declare(POLICY).per_subject(plans);
    let limiter = limiter.build();
    limiter.set_overrides(Overrides::new().with(NAME, Override::new().block(true))).unwrap();
    for (who, admitted) in
        [("lifted", 5), ("lifted and more", 2), ("more", 0), ("quotas", 0), ("anybody", 0)]
    {
        let admits = |_: &u32| limiter.check_now(&POLICY, who, 1).unwrap().unwrap().is_allowed();
        assert_eq!((0..9).filter(admits).count(), admitted, "{who}");
    }
    // Who is not counted passes, as in any policy.
    assert!(limiter.check(&POLICY, "off").await.unwrap().is_allowed());
    limiter.set_overrides(Overrides::new()).unwrap();
    assert!(limiter.check(&POLICY, "anybody").await.unwrap().is_allowed());
}

/// In shadow mode a block is reported, and refuses nobody.
#[tokio::test]
async fn shadow_only_shows_it() {
    let told = Arc::new(AtomicU64::new(0));
    let telling = Arc::clone(&told);
    let builder = Limiter::builder(MemoryBackend::new()).on_blocked(move |blocked| {
        assert_eq!(blocked.decision().outcome(), Outcome::Blocked);
        assert!(blocked.is_shadow());
        telling.fetch_add(1, Ordering::Relaxed);
    });
    let limiter = blocking(builder, &Override::new().block(true).shadow(true), false);
    assert_eq!(statuses(&limiter).await, [200; 4]);
    assert_eq!(calls(&limiter).await, [Ok(()); 3]);
    assert!(told.load(Ordering::Relaxed) >= 7);
    let decision = limiter.check(&POLICY, WHO).await.unwrap();
    assert_eq!(decision.outcome(), Outcome::Blocked);
    assert!(decision.into_result().is_ok());
}

const NOBODY: Policy = Policy::new("blocks: nobody", Quota::BLOCKED);

/// A policy of the program that admits nobody. It can be overridden, and reset.
#[tokio::test]
async fn a_policy_may_be_declared_so() {
    assert!(Quota::BLOCKED.is_blocked() && NOBODY.is_blocked() && !POLICY.is_blocked());
    assert!(POLICY.and(Quota::BLOCKED).is_blocked());
    assert_eq!(Quota::BLOCKED.burst(7), Quota::BLOCKED);
    let limiter = Limiter::builder(MemoryBackend::new()).instances(1).declare(NOBODY).build();
    assert_eq!(outcomes(&limiter, &NOBODY).await, [(Outcome::Blocked, Source::Policy); 20]);
    limiter.reset(&NOBODY, WHO).await.unwrap();
    let set = |changes| limiter.set_overrides(Overrides::new().with("blocks: nobody", changes));
    let error = set(Override::new().limit(2)).unwrap_err().to_string();
    assert!(error.contains("per: ") && error.contains("say `per`, too"), "{error}");
    set(Override::new().limit(2).per(Duration::from_secs(60))).unwrap();
    let decisions = [(); 3].map(|()| limiter.check_now(&NOBODY, WHO, 1).unwrap().unwrap());
    assert_eq!(decisions.map(|decision| decision.is_allowed()), [true, true, false]);
    set(Override::new().quotas([Quota::BLOCKED])).unwrap();
    limiter.reset(&NOBODY, WHO).await.unwrap();
    set(Override::new().quotas([Quota::per_minute(2)])).unwrap();
    assert!(limiter.check(&NOBODY, WHO).await.unwrap().is_allowed());
}

#[test]
fn contradictions_are_mistakes() {
    let limiter = Limiter::builder(MemoryBackend::new()).declare(POLICY).build();
    for (changes, key, word) in [
        (Override::new().block(true).enabled(false), "enabled", "leave one out"),
        (Override::new().limit(0).enabled(false), "enabled", "leave one out"),
        (Override::new().limit(0).block(false), "limit", "a limit of 0 blocks"),
        (Override::new().limit(0).quotas([QUOTA]), "limit", "`quotas` says it all"),
    ] {
        let error = limiter.set_overrides(Overrides::new().with(NAME, changes)).unwrap_err();
        let [mistake] = error.mistakes() else { panic!("{error}") };
        assert_eq!(mistake.key(), Some(key));
        assert!(mistake.reason().contains(word), "{error}");
    }
}

/// A store that is handed such a policy, past all limiters, admits nothing, either.
#[tokio::test]
async fn a_store_by_itself_admits_nothing() {
    use tollgate::backend::{Answer, Operation};
    use tollgate::{Algorithm, Check};

    let store = MemoryBackend::new();
    for algorithm in Algorithm::ALL {
        let policy = NOBODY.algorithm(*algorithm);
        for cost in [0, 1, 2, u32::MAX] {
            let check = Check::new(&policy, WHO, cost);
            for operation in [Operation::charge(check), Operation::peek(check)] {
                let answers: Vec<Result<Answer, BackendError>> = store.apply(&[operation]).await;
                let Ok(Answer::Verdict(verdict)) = &answers[0] else { panic!("{answers:?}") };
                assert_eq!(verdict.outcome() == Outcome::Allowed, cost == 0, "{algorithm}");
            }
        }
    }
}

#[tokio::test]
async fn metrics_tell_it_apart() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let builder = Limiter::builder(FailingBackend).metrics(Metrics::new());
    let limiter = blocking(builder, &Override::new().block(true), false);
    assert!(!limiter.check(&POLICY, WHO).await.unwrap().is_allowed());
    let labels = [("policy", NAME), ("outcome", "blocked"), ("source", "policy")];
    assert_eq!(exporter.value("tollgate_decisions_total", &labels), Some(1.0));
}
