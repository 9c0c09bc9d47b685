//! The default body of a refusal: problem details (RFC 9457) with the problem types of
//! draft-ietf-httpapi-ratelimit-headers-11 §5.

use axum::body::Bytes;
use axum::http::StatusCode;

use super::header_style::HeaderStyle;
use super::policy_text::{PolicyText, QuotaText};
use super::problem::Problem;
use super::problem_type::{BLANK, BLOCKED, QUOTA_EXCEEDED, REDUCED_CAPACITY};
use super::refusal::{Reason, Refusal};
use super::seconds::told_seconds;
use super::text::Text;
use crate::key::KeyError;
use crate::{Decision, Outcome, QuotaState};

const QUOTA_EXCEEDED_TITLE: &str =
    "Request cannot be satisfied as assigned quota has been exceeded";
const REDUCED_CAPACITY_TITLE: &str =
    "Request cannot be satisfied due to temporary server capacity constraints";
const BLOCKED_TITLE: &str = "Request cannot be satisfied as its client is blocked";

/// The start of a body, up to the text of the member `detail`. A test compares the complete body
/// with [`Problem`].
const QUOTA_EXCEEDED_HEAD: &str = "{\"type\":\"https://iana.org/assignments/http-problem-types\
    #quota-exceeded\",\"title\":\"Request cannot be satisfied as assigned quota has been \
    exceeded\",\"status\":429,\"detail\":\"";
const REDUCED_CAPACITY_HEAD: &str = "{\"type\":\"https://iana.org/assignments/http-problem-types\
    #temporary-reduced-capacity\",\"title\":\"Request cannot be satisfied due to temporary \
    server capacity constraints\",\"status\":503,\"detail\":\"";

fn no_key_detail(error: KeyError) -> String {
    format!("This request cannot be counted: {error}")
}

impl Problem {
    /// Creates the problem details of a mistake in the server because of which a request has no
    /// key.
    pub(super) fn no_key(error: KeyError) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let title = status.canonical_reason().unwrap_or_default();
        let detail = format!("{}.", no_key_detail(error));
        Self::new(status, BLANK, title, detail, Vec::new())
    }
}

impl Refusal<'_> {
    /// Returns the problem details. They are the body of the response, unless a function of the
    /// user replaces them.
    pub fn problem(&self) -> Problem {
        let (type_uri, title, policies) = match self.reason {
            Reason::QuotaExceeded(_) => {
                let mut names = Vec::new();
                self.each_exceeded(|quota, _| names.push(quota.name.clone()));
                (QUOTA_EXCEEDED, QUOTA_EXCEEDED_TITLE, names)
            }
            Reason::Unavailable(_) | Reason::CannotWait => {
                let label = (!self.hides_limit()).then(|| self.policy().label().to_owned());
                (REDUCED_CAPACITY, REDUCED_CAPACITY_TITLE, label.into_iter().collect())
            }
            Reason::Blocked(_) => (BLOCKED, BLOCKED_TITLE, Vec::new()),
            Reason::NoKey(_) => {
                (BLANK, self.status().canonical_reason().unwrap_or_default(), Vec::new())
            }
        };
        let mut detail = Text::new();
        self.push_detail(&mut detail);
        let detail = detail.to_text();
        Problem::new(self.status(), type_uri, title, detail, policies)
    }

    /// Serializes [`problem`](Self::problem) as JSON. The result is assembled from texts that are
    /// already formatted, so that a refusal costs no more than the request that it refuses.
    pub(super) fn problem_json(&self) -> Bytes {
        let (head, has_quotas) = match self.reason {
            // Its status is another one, and few requests are too large for their limit.
            Reason::QuotaExceeded(_) if self.can_never_pass() => {
                return self.problem().to_json().into();
            }
            Reason::QuotaExceeded(_) => (QUOTA_EXCEEDED_HEAD, true),
            Reason::Unavailable(_) | Reason::CannotWait => (REDUCED_CAPACITY_HEAD, false),
            // A header's name may need escapes, and few requests come from blocked clients.
            Reason::Blocked(_) | Reason::NoKey(_) => return self.problem().to_json().into(),
        };
        let mut json = Text::new();
        json.push(head);
        self.push_detail(&mut json);
        json.push("\"");
        let mut separator = ",\"violated-policies\":[";
        let mut push = |name: &str| {
            json.push(separator);
            json.push(name);
            separator = ",";
        };
        if has_quotas {
            self.each_exceeded(|quota, _| push(&quota.name_json));
        } else if !self.hides_limit() {
            push(&self.text.label_json);
        }
        if separator == "," {
            json.push("]");
        }
        json.push("}");
        json.to_bytes()
    }

    /// Calls `visit` with the quotas that refused, also those of the limits behind the one that decided
    /// first. Limits that no header field describes are left out.
    #[inline]
    fn each_exceeded(&self, mut visit: impl FnMut(&QuotaText, &QuotaState)) {
        let mut each = |text: &PolicyText, states: &[QuotaState]| {
            for (quota, state) in text.quotas.iter().zip(states) {
                if state.is_exceeded() {
                    visit(quota, state);
                }
            }
        };
        if let Some(decision) = self.decision()
            && !self.hides_limit()
        {
            each(self.text, decision.quotas());
        }
        for limit in self.behind {
            if limit.style != HeaderStyle::None {
                each(limit.text, limit.quotas);
            }
        }
    }

    /// Appends the quotas that refused, in words. If the request can `never` pass, these are the
    /// quotas that are smaller than its cost.
    fn push_exceeded(&self, never: bool, detail: &mut Text) {
        let is_never = |state: &QuotaState| state.retry_after().is_none();
        // The store of another crate may not say which quota is too small.
        let mut is_known = false;
        if never {
            self.each_exceeded(|_, state| is_known |= is_never(state));
        }
        let mut is_first = true;
        self.each_exceeded(|quota, state| {
            if is_known && !is_never(state) {
                return;
            }
            if !std::mem::take(&mut is_first) {
                detail.push(" and of ");
            }
            detail.push(&quota.text);
        });
    }

    /// Appends the text of the member `detail`. Only if the reason is a missing key may the text
    /// contain characters that JSON must escape.
    fn push_detail(&self, detail: &mut Text) {
        self.push_reason(detail);
        self.push_wait(detail);
    }

    /// Appends the reason in words, without the time to retry.
    pub(super) fn push_reason(&self, detail: &mut Text) {
        match self.reason {
            Reason::QuotaExceeded(_) => {
                let own = self.decision().map(Decision::outcome);
                if let Some(Outcome::Banned { .. }) = own {
                    return detail.push("This client is banned, for now");
                }
                let is_never = |outcome| outcome == Some(Outcome::Never);
                let never =
                    is_never(own) || self.behind.iter().any(|limit| is_never(limit.outcome));
                let mut is_told = false;
                self.each_exceeded(|_, _| is_told = true);
                detail.push(match (never, is_told) {
                    (false, true) => "Limit of ",
                    (true, true) => "This request alone is more than the limit of ",
                    (false, false) => "Limit",
                    (true, false) => "This request alone is more than its limit",
                });
                self.push_exceeded(never, detail);
                detail.push(if never { " allows" } else { " reached" });
            }
            Reason::Blocked(_) => detail.push("This client is blocked"),
            Reason::Unavailable(_) | Reason::CannotWait => {
                detail.push("The limit of this request cannot be checked");
            }
            Reason::NoKey(error) => detail.push(&no_key_detail(error)),
        }
    }

    /// Appends the time to retry, and ends the sentence.
    fn push_wait(&self, detail: &mut Text) {
        if let Some(wait) = self.retry_after() {
            detail.push("; retry in ");
            detail.push_number(told_seconds(wait));
            detail.push("s");
        }
        detail.push(".");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::verdict::Verdict;
    use crate::{BackendError, Policy, Quota, Unavailable};

    proptest! {
        /// The assembled body is the same as the serialized [`Problem`].
        #[test]
        fn the_body_is_the_problem(
            label in any::<String>(),
            exceeded in any::<[bool; 2]>(),
            retry_after in prop::option::of(0_u64..100_000_000),
        ) {
            let quota = |secs| Quota::new(7, Duration::from_secs(secs));
            let policy = Policy::named(label, quota(1)).and(quota(60));
            let text = PolicyText::new(&policy);
            let retry_after = retry_after.map(Duration::from_micros);
            let outcome = match retry_after {
                Some(retry_after) => Outcome::Refused { retry_after },
                None => Outcome::Never,
            };
            let mut verdict = Verdict::new(outcome, 0);
            for exceeded in exceeded {
                verdict.push(QuotaState::new(exceeded, 0, Duration::ZERO, Duration::ZERO));
            }
            let decision = Decision::without_receipt(verdict);
            let unavailable = Unavailable::from(BackendError::unknown("down"));
            for reason in [
                Reason::QuotaExceeded(&decision),
                Reason::Blocked(&decision),
                Reason::Unavailable(&unavailable),
                Reason::CannotWait,
                Reason::NoKey(KeyError::NoQuery("\"")),
            ] {
                let refusal = Refusal::new(&policy, &text, reason, None);
                let json = String::from_utf8(refusal.problem_json().into()).unwrap();
                prop_assert_eq!(&json, &refusal.problem().to_json());
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
            }
        }
    }

    #[test]
    fn a_problem_can_be_changed() {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let text = PolicyText::new(&policy);
        let refusal = Refusal::new(&policy, &text, Reason::CannotWait, None);
        let problem = refusal.problem().type_uri("urn:x").title("No").detail("\"slow\"");
        let problem = problem.instance("urn:1").status(StatusCode::IM_A_TEAPOT).with("más", "\n");
        let expected = r#"{"type":"urn:x","title":"No","status":418,"detail":"\"slow\"","instance":"urn:1","violated-policies":["p"],"más":"\n"}"#;
        assert_eq!(problem.to_json(), expected);
        assert!(!problem.without_policies().to_json().contains("violated"));
    }
}
