//! What a store of another crate lacks is found at start, for policies that need it.

use std::time::Duration;

use tollgate::backend::{Action, Answer, Operation};
use tollgate::{Backend, BackendError, Ban, Limiter, MemoryBackend, Policy, Quota};

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

fn limiter(policy: Policy) -> Limiter {
    Limiter::builder(WithoutBans(MemoryBackend::new())).instances(1).declare(policy).build()
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
