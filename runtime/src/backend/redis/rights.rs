//! The rights of the Redis user, which are looked at when the limiter starts.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use redis::Value;

use super::failure::RequestError;
use super::node::Node;
use super::script::{self, Answers, Keys, PermitArguments, Plan, Unanswered};
use crate::operation::{Action, Operation};
use crate::policy::MAX_QUOTAS;
use crate::{Algorithm, BackendError, Ban, Check, Policy, Quota, Source};

const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of keys among which one is searched that a node of a cluster serves.
const MAX_TRIES: u32 = 100_000;

/// The number of operations in one call, which is so small that the script defers none of them.
const BATCH: usize = 8;

/// The length of bans.
const BAN: Duration = Duration::from_secs(10);

/// The maximum number of arguments with which a command is tried.
const MAX_ARGUMENTS: usize = 5;

/// Runs every path of the script on keys of its own, which expire within seconds. `serves` tells if
/// the node serves a key. An error other than a missing right is ignored here: it may pass until
/// the first request.
///
/// # Errors
///
/// If the user lacks a right. The error names the commands or the keys, and the rights to add.
pub(super) async fn check(
    node: &Node,
    key_prefix: &str,
    serves: impl Fn(&[u8]) -> bool,
) -> Result<(), BackendError> {
    let Some(stem) = stem(key_prefix, serves) else { return Ok(()) };
    match run_every_path(node, &stem).await {
        Err(error) if error.is_forbidden() => Err(diagnosed(node, key_prefix, &stem, error).await),
        Err(error) => {
            tracing::debug!(%error, "the rights of the Redis user are not known");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Returns the beginning of keys that the node serves, and that no subject has: after the prefix,
/// the key of a subject begins with a digit. A hash tag keeps the keys in one slot. Returns `None`
/// if the node serves no such key, because the prefix has a hash tag of another node.
fn stem(key_prefix: &str, serves: impl Fn(&[u8]) -> bool) -> Option<String> {
    // Processes that start at the same time have different keys.
    let unique = RandomState::new().hash_one(key_prefix);
    let mut stems = (0..MAX_TRIES).map(|n| format!("{key_prefix}start:{{{unique:x}-{n}}}:"));
    stems.find(|stem| serves(stem.as_bytes()))
}

/// Charges, peeks, refunds, settles, bans and resets, by every algorithm with one to four quotas, and goes on with
/// each state by a policy of another form, and by a sliding window with so many admissions that it is
/// changed in place. So the script creates, reads, changes, converts and removes every form of state.
async fn run_every_path(node: &Node, stem: &str) -> Result<(), BackendError> {
    let policies: Vec<Policy> = Algorithm::ALL.iter().flat_map(|it| policies(*it)).collect();
    let virtual_micros = node.virtual_time.as_ref().map(|clock| clock.now_micros());
    let (mut stamp_micros, source) = (0, Source::Store);
    for (step, shift) in STEPS {
        let action = match step {
            Step::Charge | Step::CountedCharge => Action::Charge,
            Step::Peek => Action::Peek,
            Step::Refund => Action::Refund { stamp_micros, source, forgives: false },
            Step::Forgive => Action::Refund { stamp_micros, source, forgives: true },
            Step::Settle(actual) => Action::Settle { stamp_micros, source, actual },
            Step::Ban => Action::Ban { duration: BAN },
            Step::Unban => Action::Unban,
            Step::Reset => Action::Reset,
        };
        // Each key is checked by the policy that is so many places after its own.
        let shifted = policies.iter().cycle().skip(shift).take(policies.len());
        let operations: Vec<_> = shifted
            .enumerate()
            .map(|(index, policy)| {
                let counted = matches!(step, Step::CountedCharge);
                let policy = if counted { &policy.clone().ban(Ban::new(2, BAN)) } else { policy };
                let operation = Operation { check: Check::new(policy, "", 1), action };
                (keys_of(format!("{stem}{index}")), Plan::of(&operation))
            })
            .collect();
        for batch in operations.chunks(BATCH) {
            stamp_micros = run(node, batch, virtual_micros).await?;
        }
    }
    let large = Policy::new("large", Quota::new(200, Duration::from_secs(10)));
    // Half a period later, so that the expiry is prolonged.
    for (action, cost, seconds) in [
        (Action::Charge, 90, 0),
        (Action::Charge, 1, 5),
        (Action::Charge, 150, 5),
        (Action::Reset, 1, 5),
    ] {
        let plan = Plan::of(&Operation { check: Check::new(&large, "", cost), action });
        run(node, &[(keys_of(format!("{stem}large")), plan)], Some(seconds * 1_000_000)).await?;
    }
    let permits = PermitArguments {
        owner: [1; 8],
        number: 1,
        have: 0,
        is_exact: true,
        limit: 1,
        hold_micros: 1_000_000,
        released: 0,
    };
    let take = Plan::of(&Operation::charge(Check::new(&large, "", 1))).with_permits(&permits);
    let report = Plan::report(&PermitArguments { number: 2, ..permits });
    let keys = Keys {
        counters: format!("{stem}large").into_bytes().into(),
        permits: Some(format!("{stem}permits").into_bytes().into()),
    };
    run(node, &[(keys.clone(), take), (keys, report)], virtual_micros).await?;
    let reset = Plan::of(&Operation::reset(Check::new(&large, "", 1)));
    run(node, &[(keys_of(format!("{stem}large")), reset)], virtual_micros).await?;
    Ok(())
}

fn keys_of(counters: String) -> Keys {
    Keys { counters: counters.into_bytes().into(), permits: None }
}

/// Carries out operations, each its keys and a plan, and returns the time of the answer.
async fn run(
    node: &Node,
    operations: &[(Keys, Plan)],
    virtual_micros: Option<u64>,
) -> Result<u64, BackendError> {
    let checks = operations.iter().map(|(keys, plan)| (keys, plan));
    let reply = node.query(&script::call(checks, virtual_micros), REPLY_TIMEOUT).await?;
    let mut micros = 0;
    if let Value::BulkString(bytes) = &reply {
        for answer in Answers::new(bytes).into_iter().flatten().take(operations.len()) {
            match answer {
                Ok(reply) => micros = reply.now,
                Err(Unanswered::Failed(text)) => {
                    return Err(RequestError::from_script(&text).into_error());
                }
                Err(Unanswered::Deferred) => break,
            }
        }
    }
    Ok(micros)
}

/// The steps of [`run_every_path`], each with the distance from a state's own policy to the one by
/// which it is checked. At the distance 4 stands the next algorithm with as many quotas, and at 5 it
/// has another number of them. The charge that is refunded empties most states, and so removes their
/// keys.
const STEPS: [(Step, usize); 18] = [
    (Step::Charge, 0),
    (Step::Refund, 0),
    (Step::Ban, 0),
    (Step::Charge, 0),
    (Step::Unban, 0),
    // The debt makes the charge a refusal.
    (Step::Settle(9), 0),
    (Step::CountedCharge, 0),
    (Step::Forgive, 4),
    (Step::Reset, 0),
    (Step::Charge, 0),
    (Step::Charge, 0),
    (Step::Charge, 0),
    (Step::Peek, 0),
    (Step::Charge, 4),
    (Step::Charge, 4),
    (Step::Peek, 5),
    (Step::Refund, 5),
    (Step::Reset, 0),
];

enum Step {
    Charge,
    /// A charge under a policy with a ban.
    CountedCharge,
    Peek,
    Refund,
    Forgive,
    Settle(u32),
    Ban,
    Unban,
    Reset,
}

/// Returns the policies of an algorithm with one to four quotas. A charge of any of them is admitted
/// a few times.
fn policies(algorithm: Algorithm) -> impl Iterator<Item = Policy> {
    let quota = |n: usize| Quota::new(4 + n as u32, Duration::from_secs(10 * n as u64));
    (1..=MAX_QUOTAS).map(move |quotas| {
        let policy = Policy::new("start", quota(1)).algorithm(algorithm);
        (2..=quotas).fold(policy, |policy, n| policy.and(quota(n)))
    })
}

/// Returns the error of a missing right, which names all commands that the script calls and the
/// user may not. A server that refuses a command within a script does not say which it is, so each
/// command is tried by itself.
async fn diagnosed(node: &Node, key_prefix: &str, stem: &str, error: BackendError) -> BackendError {
    let mut missing = Vec::new();
    for command in script::commands() {
        if is_missing(node, command, stem).await {
            missing.push(command.to_lowercase());
        }
    }
    if !missing.is_empty() {
        return lacking(node, &missing, &error);
    }
    if named_command(&error.to_string()).is_some() {
        return with_right(node, error);
    }
    let user = node.connection.user();
    let text = format!(
        "the user `{user}` may not use the keys that begin with `{key_prefix}` ({error}). Grant it: \
         ACL SETUSER {user} ~{key_prefix}*"
    );
    forbidden(node, text, &error)
}

/// Adds the right to add to an error that names the command that the user may not call. Returns any
/// other error unchanged.
pub(super) fn with_right(node: &Node, error: BackendError) -> BackendError {
    match named_command(&error.to_string()) {
        Some(command) if error.is_forbidden() => lacking(node, &[command.to_owned()], &error),
        _ => error,
    }
}

fn lacking(node: &Node, commands: &[String], error: &BackendError) -> BackendError {
    let user = node.connection.user();
    let names: Vec<_> = commands.iter().map(|name| format!("`{name}`")).collect();
    let rights: Vec<_> = commands.iter().map(|name| format!("+{name}")).collect();
    let text = format!(
        "the user `{user}` lacks the right to {}. Grant it: ACL SETUSER {user} {}",
        names.join(", "),
        rights.join(" ")
    );
    forbidden(node, text, error)
}

fn forbidden(node: &Node, text: String, error: &BackendError) -> BackendError {
    let error = BackendError::forbidden(error.execution(), text);
    match node.connection.address() {
        Some(address) => error.at(&address),
        None => error,
    }
}

/// Returns `true` if the user may not call a command. The command is tried with fewer and fewer
/// arguments, because the server looks at the right only if the command can have that many. Each
/// argument is the name of a key that nobody uses. Most commands that write do not accept it as
/// their number or option, so they write nothing.
async fn is_missing(node: &Node, command: &str, stem: &str) -> bool {
    for count in (0..=MAX_ARGUMENTS).rev() {
        let mut call = redis::cmd(command);
        for _ in 0..count {
            call.arg(stem);
        }
        let Err(error) = node.query(&call, REPLY_TIMEOUT).await else { return false };
        let text = error.to_string();
        if !text.contains("wrong number of arguments") {
            return error.is_forbidden() && named_command(&text).is_some();
        }
    }
    false
}

/// Returns the command that the text of an error names as not permitted.
fn named_command(text: &str) -> Option<&str> {
    text.split_once("to run the '")?.1.split('\'').next()
}
