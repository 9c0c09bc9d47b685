//! What a store of another crate lacks is found at start, for policies that need it.

use std::time::Duration;

use support::log::Log;
use tollgate::backend::{Action, Answer, Operation};
use tollgate::{
    Backend, BackendError, Ban, Limiter, LimiterBuilder, MemoryBackend, Override, Overrides,
    PerSubject, Policy, Quota,
};
use tracing::Level;

const MINUTE: Quota = Quota::per_minute(5);
const PLAIN: Policy = Policy::new("plain", MINUTE);
const BANNING: Policy = Policy::new("banning", MINUTE).ban(Ban::new(3, Duration::from_secs(60)));

/// A store that knows no bans.
struct WithoutBans(MemoryBackend);

impl Backend for WithoutBans {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let mut answers = Vec::new();
        for operation in batch {
            answers.push(match operation.action {
                Action::Ban { .. } | Action::Unban => Ok(Answer::Unsupported),
                _ => self.0.apply(std::slice::from_ref(operation)).await.remove(0),
            });
        }
        answers
    }
}

fn builder(policy: Policy) -> LimiterBuilder {
    Limiter::builder(WithoutBans(MemoryBackend::new())).instances(1).declare(policy)
}

fn limiter(policy: Policy) -> Limiter {
    builder(policy).build()
}

fn with_a_ban() -> Override {
    Override::new().limit(2).ban(Ban::new(1, Duration::from_secs(60)))
}

#[tokio::test]
async fn a_ban_that_the_store_cannot_keep_does_not_start() {
    limiter(PLAIN).initialize().await.unwrap();
    let error = limiter(BANNING).initialize().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the policy `banning` cannot be applied: it has a ban, and the limiter's backend does not \
         support bans: leave the ban out, or use another backend"
    );
    assert!(!error.is_away());
    assert!(
        Limiter::builder(MemoryBackend::new()).declare(BANNING).build().initialize().await.is_ok()
    );
}

#[tokio::test]
async fn a_ban_by_hand_says_that_the_store_cannot() {
    let error = limiter(PLAIN).ban(&PLAIN, "s", Duration::from_secs(1)).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("does not support a ban"), "{cause}");
}

/// Before the start, an override is found at start, and afterwards it is an error.
#[tokio::test]
async fn a_ban_by_override_that_the_store_cannot_keep_is_an_error() {
    let overrides = || Overrides::new().with("plain", with_a_ban());
    let early = limiter(PLAIN);
    early.set_overrides(overrides()).unwrap();
    let error = early.initialize().await.unwrap_err().to_string();
    assert!(error.starts_with("the policy `plain` cannot be applied: it has a ban"), "{error}");
    early.set_overrides(Overrides::new()).unwrap();
    early.initialize().await.unwrap();

    let error = early.set_overrides(overrides()).unwrap_err();
    assert_eq!(error.mistakes()[0].key(), Some("ban"));
    assert_eq!(
        error.to_string(),
        "policies.\"plain\".ban: it has a ban, and the limiter's backend does not support bans: \
         leave the ban out, or use another backend"
    );
    assert!(early.overrides().is_empty());
    early.set_overrides(Overrides::new().with("plain", Override::new().ban(None))).unwrap();
}

/// Of a single subject's override, the rest is in effect, and the mistake is logged.
#[tokio::test]
async fn a_subject_that_cannot_be_banned_is_limited_all_the_same() {
    let (log, _guard) = Log::of_this_thread(Level::ERROR);
    let limiter = builder(PLAIN).per_subject(PerSubject::new(|_, _| Some(with_a_ban()))).build();
    limiter.initialize().await.unwrap();
    let mut admitted = 0;
    for _ in 0..9 {
        admitted += u32::from(limiter.check(&PLAIN, "s").await.unwrap().is_allowed());
    }
    assert_eq!(admitted, 2);
    let text = log.text();
    assert!(text.contains("does not support bans") && text.contains("plain"), "{text}");
}
