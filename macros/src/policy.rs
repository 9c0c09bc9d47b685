//! Combines the arguments of all attributes on one function into its policies.

use quote::ToTokens as _;
use syn::{Expr, ExprLit, Lit, LitStr, Path};

use crate::args::{Arguments, Cost, Named};
use crate::ban::Ban;
use crate::calendar::Per;
use crate::contradictions::{without_in_flight, without_quota};
use crate::errors::Errors;
use crate::exempt::Exempt;
use crate::item::Function;
use crate::key::Key;
use crate::keywords::{Algorithm, Headers, OnError, OnMissingKey, RefundIf, Settle};
use crate::period::Period;

/// The value of `tollgate::Policy::MAX_QUOTAS`.
const MAX_QUOTAS: usize = 4;

/// The place at which the generated code checks the limits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Before the arguments of an axum handler are extracted, or for [`Policy::is_late`], after that.
    Handler,
    /// At the beginning of a function's body. `is_async` is `true` if that is the beginning of its
    /// future.
    Function { is_async: bool },
}

/// A complete policy. Its literals have been checked. The expansion contains assertions that check
/// the values of its constants.
pub(crate) struct Policy {
    /// `true` if the attribute contains a path of several segments, such as `self::tenant`.
    pub(crate) has_paths: bool,
    pub(crate) quotas: Vec<Quota>,
    pub(crate) key: Key,
    pub(crate) algorithm: Option<Named<Algorithm>>,
    pub(crate) cost: Option<Named<Cost>>,
    pub(crate) name: Option<Named<LitStr>>,
    pub(crate) group: Option<Named<LitStr>>,
    pub(crate) on_error: Option<Named<OnError>>,
    pub(crate) exempt: Option<Named<Exempt>>,
    pub(crate) on_blocked: Option<Named<Path>>,
    pub(crate) refund_if: Option<Named<RefundIf>>,
    pub(crate) settle: Option<Named<Settle>>,
    pub(crate) ban: Option<Named<Ban>>,
    pub(crate) in_flight: Option<Named<Expr>>,
    pub(crate) hold: Option<Named<Period>>,
    pub(crate) shadow: Option<Named<()>>,
    pub(crate) wait: Option<Named<Period>>,
    pub(crate) headers: Option<Named<Headers>>,
    pub(crate) refusal: Option<Named<Path>>,
    pub(crate) on_missing_key: Option<Named<OnMissingKey>>,
}

/// A quota of a policy.
pub(crate) struct Quota {
    pub(crate) limit: Expr,
    pub(crate) period: Per,
    pub(crate) burst: Option<Named<Expr>>,
    /// The function that finds another quota for a request.
    pub(crate) function: Option<Named<Path>>,
}

/// Returns the mode, and the policies in the order in which they are checked. Returns `None` if an
/// attribute is incomplete. Mistakes are added to `errors`.
pub(crate) fn policies(
    stack: Vec<Arguments>,
    function: &Function,
    errors: &mut Errors,
) -> Option<(Mode, Vec<Policy>)> {
    let is_async = function.is_async();
    let mut keys = stack.iter().flat_map(|arguments| &arguments.key).map(|key| &key.value);
    let is_function = keys.clone().any(Key::is_args) && keys.all(Key::is_args_alone);
    let mode = if is_async && !is_function {
        Mode::Handler
    } else {
        Mode::Function { is_async: is_async || function.future_block().is_some() }
    };
    if function.future_block().is_some()
        && function.sig.receiver().is_none()
        && stack.iter().any(|arguments| arguments.key.is_none())
    {
        errors.at(
            &function.sig.ident,
            "a function that returns a future may be a handler, which counts by client, or a plain \
             function, of which all calls count together: write a handler as an `async fn`, and \
             `key = args()` for a plain function",
        );
    }
    let mut policies = Vec::<Policy>::new();
    let mut complete = true;
    for arguments in stack {
        let Some(policy) = Policy::new(arguments, mode, errors) else {
            complete = false;
            continue;
        };
        match policies.iter_mut().find(|earlier| earlier.key.is_same(&policy.key)) {
            Some(earlier) => earlier.absorb(policy, errors),
            None => policies.push(policy),
        }
    }
    for (index, policy) in policies.iter().enumerate() {
        policy.check(mode, errors);
        let names = |policy: &Policy| policy.explicit_name().map(|argument| argument.value.value());
        if let Some(name) = policy.explicit_name()
            && policies[..index].iter().any(|earlier| names(earlier) == names(policy))
        {
            errors.at(
                &name.value,
                "limits on different keys count apart and cannot share a name: give each key's \
                 limits a name of their own",
            );
        }
    }
    complete.then_some((mode, policies))
}

impl Policy {
    fn new(arguments: Arguments, mode: Mode, errors: &mut Errors) -> Option<Self> {
        // A value with a mistake is missing here.
        if arguments.has("in_flight") && arguments.in_flight.is_none() {
            return None;
        }
        let has_quota = arguments.has("limit") || arguments.has("per");
        if arguments.has("hold") && !arguments.has("in_flight") && !has_quota {
            let mistake = arguments.hold.map(|hold| without_in_flight(&hold.name));
            mistake.into_iter().for_each(|error| errors.push(error));
            return None;
        }
        // A limit on requests in flight needs no other.
        let is_alone = arguments.has("in_flight") && !has_quota;
        for (name, message) in [
            ("limit", "the limit is missing: write `#[rate_limit(100, per = 60)]`"),
            ("per", "`per` is missing: write `per = 60` for a period of 60 seconds"),
        ] {
            if !is_alone && !arguments.has(name) {
                errors.push(syn::Error::new(arguments.span(), message));
            }
        }
        let default_key = || match mode {
            Mode::Handler => Key::ip(),
            Mode::Function { .. } => Key::no_args(),
        };
        let mut quotas = Vec::new();
        if is_alone {
            let burst = arguments.burst.as_ref().map(|burst| &burst.name);
            let function = arguments.quota.as_ref().map(|function| &function.name);
            for name in burst.into_iter().chain(function) {
                errors.at(name, without_quota(name));
            }
        } else {
            quotas.push(Quota {
                limit: arguments.limit?,
                period: arguments.per?,
                burst: arguments.burst,
                function: arguments.quota,
            });
        }
        Some(Self {
            has_paths: arguments.has_paths,
            quotas,
            key: arguments.key.map_or_else(default_key, |key| key.value),
            algorithm: arguments.algorithm,
            cost: arguments.cost,
            name: arguments.name,
            group: arguments.group,
            on_error: arguments.on_error,
            exempt: arguments.exempt,
            on_blocked: arguments.on_blocked,
            refund_if: arguments.refund_if,
            settle: arguments.settle,
            ban: arguments.ban,
            in_flight: arguments.in_flight,
            hold: arguments.hold,
            shadow: arguments.shadow,
            wait: arguments.wait,
            headers: arguments.headers,
            refusal: arguments.refusal,
            on_missing_key: arguments.on_missing_key,
        })
    }

    /// Returns the policy's argument `name` or `group`; `None` if it has neither.
    pub(crate) fn explicit_name(&self) -> Option<&Named<LitStr>> {
        self.name.as_ref().or(self.group.as_ref())
    }

    /// Returns `true` if a request can only be counted when the arguments of its handler are
    /// extracted, because the key or the cost depends on them.
    pub(crate) fn is_late(&self) -> bool {
        self.key.is_args() || self.cost.as_ref().is_some_and(|cost| cost.value.is_args())
    }

    /// Returns `true` if the charge is settled at the handler's `Usage` because the attribute says
    /// so.
    pub(crate) fn says_usage(&self) -> bool {
        matches!(&self.settle, Some(Named { value: Settle::Usage(_), .. }))
    }

    /// Returns the expression in `cost = args(…)`.
    pub(crate) fn cost_of_args(&self) -> Option<&Expr> {
        match &self.cost {
            Some(Named { value: Cost::Args(cost), .. }) => Some(cost),
            _ => None,
        }
    }

    /// Merges the limit of an attribute that is stacked below and has the same key. Both limits
    /// belong to one decision, so each option may be given only once.
    fn absorb(&mut self, other: Self, errors: &mut Errors) {
        self.has_paths |= other.has_paths;
        for quota in other.quotas {
            if self.quotas.iter().any(|earlier| earlier.text() == quota.text()) {
                errors.at(&quota.limit, "this limit is written twice: remove one");
            }
            if self.quotas.len() == MAX_QUOTAS {
                errors.at(&quota.limit, "at most 4 limits can be stacked on one key");
            }
            self.quotas.push(quota);
        }
        join(&mut self.algorithm, other.algorithm, errors);
        join(&mut self.cost, other.cost, errors);
        join(&mut self.name, other.name, errors);
        join(&mut self.group, other.group, errors);
        join(&mut self.on_error, other.on_error, errors);
        join(&mut self.exempt, other.exempt, errors);
        join(&mut self.on_blocked, other.on_blocked, errors);
        join(&mut self.refund_if, other.refund_if, errors);
        join(&mut self.settle, other.settle, errors);
        join(&mut self.ban, other.ban, errors);
        join(&mut self.in_flight, other.in_flight, errors);
        join(&mut self.hold, other.hold, errors);
        join(&mut self.shadow, other.shadow, errors);
        join(&mut self.wait, other.wait, errors);
        join(&mut self.headers, other.headers, errors);
        join(&mut self.refusal, other.refusal, errors);
        join(&mut self.on_missing_key, other.on_missing_key, errors);
    }
}

impl Quota {
    /// Returns the limit, and the period in microseconds, if both are literals; otherwise `None`.
    /// Literals were checked when they were parsed.
    pub(crate) fn literal(&self) -> Option<(u64, u64)> {
        match (&self.limit, &self.period) {
            (
                Expr::Lit(ExprLit { lit: Lit::Int(limit), .. }),
                Per::Length(Period::Micros(micros, _)),
            ) => limit.base10_parse().ok().map(|limit| (limit, *micros)),
            _ => None,
        }
    }

    fn text(&self) -> String {
        format!("{} per {}", self.limit.to_token_stream(), self.period.text())
    }
}

fn join<T>(option: &mut Option<Named<T>>, other: Option<Named<T>>, errors: &mut Errors) {
    match (&option, other) {
        (Some(_), Some(other)) => errors.at(
            &other.name,
            format!(
                "limits stacked on one key are one decision with one `{}`: write it once",
                other.name
            ),
        ),
        (None, Some(other)) => *option = Some(other),
        (_, None) => {}
    }
}
