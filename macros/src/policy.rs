//! Combines the arguments of all attributes on one function into its policies.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Expr, ExprLit, Lit, LitStr, Path};

use crate::args::{Arguments, Cost, Named};
use crate::ban::Ban;
use crate::calendar::Per;
use crate::errors::Errors;
use crate::exempt::Exempt;
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
    /// At the beginning of a function's body.
    Function { is_async: bool },
}

/// A complete policy. Its literals have been checked. The expansion contains assertions that check
/// the values of its constants.
pub(crate) struct Policy {
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
    is_async: bool,
    errors: &mut Errors,
) -> Option<(Mode, Vec<Policy>)> {
    let mut keys = stack.iter().flat_map(|arguments| &arguments.key).map(|key| &key.value);
    let is_function = keys.clone().any(Key::is_args) && keys.all(Key::is_args_alone);
    let mode = if is_async && !is_function { Mode::Handler } else { Mode::Function { is_async } };
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

    /// Reports contradictory options.
    fn check(&self, mode: Mode, errors: &mut Errors) {
        for quota in &self.quotas {
            quota.check(errors);
        }
        self.check_options(errors);
        self.check_in_flight(errors);
        self.check_self(errors);
        if let Mode::Function { is_async } = mode {
            self.check_function(is_async, errors);
        }
    }

    fn check_options(&self, errors: &mut Errors) {
        if let (Some(_), Some(group)) = (&self.name, &self.group) {
            errors.at(&group.name, "`group` names the policy already: remove `name` or `group`");
        }
        if let (Some(_), Some(wait)) = (&self.shadow, &self.wait) {
            errors.at(&wait.name, "a `shadow` limit keeps nobody waiting: remove one of the two");
        }
        if let (Some(_), Some(settle)) = (&self.refund_if, &self.settle) {
            let message = "a charge is either refunded or settled: remove `refund_if` or `settle`";
            errors.at(&settle.name, message);
        }
        if let (Some(argument), false) = (&self.on_missing_key, self.key.can_be_missing()) {
            let message = format!(
                "`{}` is a key that no request lacks: remove `on_missing_key`",
                self.key.text()
            );
            errors.at(&argument.name, message);
        }
        self.check_calendars(errors);
        let has_bucket = self.algorithm.as_ref().is_some_and(|argument| argument.value.has_bucket);
        for quota in &self.quotas {
            let Some(burst) = &quota.burst else { continue };
            if quota.period.calendar().is_some() {
                errors.at(&burst.name, "a period of the calendar has no burst: remove it");
            } else if !has_bucket {
                let algorithm = self.algorithm.as_ref();
                let algorithm = algorithm.map_or_else(
                    || "sliding_window".to_owned(),
                    |argument| argument.value.word.to_string(),
                );
                let message = format!(
                    "`{algorithm}` has no bucket and no burst: remove it, or write `algorithm = \
                     token_bucket`, `leaky_bucket` or `gcra`"
                );
                errors.at(&burst.name, message);
            }
        }
    }

    /// Reports options that have no meaning without a limit per period, or without one on requests in
    /// flight.
    fn check_in_flight(&self, errors: &mut Errors) {
        if let (None, Some(hold)) = (&self.in_flight, &self.hold) {
            errors.push(without_in_flight(&hold.name));
        }
        if !self.quotas.is_empty() {
            return;
        }
        let names = [
            self.algorithm.as_ref().map(|argument| &argument.name),
            self.cost.as_ref().map(|argument| &argument.name),
            self.refund_if.as_ref().map(|argument| &argument.name),
            self.settle.as_ref().map(|argument| &argument.name),
            self.ban.as_ref().map(|argument| &argument.name),
        ];
        for name in names.into_iter().flatten() {
            errors.at(name, without_quota(name));
        }
    }

    /// Reports periods of the calendar with another algorithm than the one that has them.
    fn check_calendars(&self, errors: &mut Errors) {
        let mut calendars = self.quotas.iter().filter_map(|quota| quota.period.calendar());
        let Some(calendar) = calendars.next() else { return };
        match &self.algorithm {
            None => errors.at(
                &calendar.word,
                "a period of the calendar is for fixed windows: write `algorithm = fixed_window`, \
                 too",
            ),
            Some(algorithm) if algorithm.value.word != "fixed_window" => {
                let word = &algorithm.value.word;
                let message = format!(
                    "`{word}` has no period of the calendar: write `algorithm = fixed_window`, or a \
                     period with a length, such as `per = day`"
                );
                errors.at(word, message);
            }
            Some(_) => {}
        }
    }

    /// Reports `Self` in expressions, because the expansion evaluates them outside of the `impl`
    /// block.
    fn check_self(&self, errors: &mut Errors) {
        let cost = self.cost.iter().filter_map(|cost| match &cost.value {
            Cost::Const(cost) => Some(cost),
            Cost::Function(_) | Cost::Args(_) => None,
        });
        let quotas = self.quotas.iter().flat_map(|quota| {
            let burst = quota.burst.as_ref().map(|burst| &burst.value);
            [Some(&quota.limit), quota.period.expression(), burst].into_iter().flatten()
        });
        let ban = self.ban.iter().flat_map(|ban| ban.value.expressions());
        let in_flight = self.in_flight.iter().map(|limit| &limit.value);
        let hold = self.hold.iter().filter_map(|hold| hold.value.expression());
        for expression in quotas.chain(cost).chain(ban).chain(in_flight).chain(hold) {
            if find_self(expression.to_token_stream()).is_some() {
                errors.at(expression, "`Self` is not known here: write the type's name");
            }
        }
    }

    fn check_function(&self, is_async: bool, errors: &mut Errors) {
        if !self.key.is_args_alone() {
            // An async function with such a key is a handler.
            return errors.at(
                &self.key,
                "a function that is not async is no handler and has no request: write `key = \
                 args(…)` with what it is called with, or no key for one limit on all calls",
            );
        }
        for function in self.quotas.iter().filter_map(|quota| quota.function.as_ref()) {
            errors.at(
                &function.name,
                "`quota` finds the quota of a request, and this function has none: remove it, or \
                 compute the quotas of subjects by `PerSubject`",
            );
        }
        if let Some(exempt) = &self.exempt {
            errors
                .at(&exempt.name, "`exempt` is asked about a request, which this function has not");
        }
        let shapes_a_response = [
            self.headers.as_ref().map(|argument| &argument.name),
            self.refusal.as_ref().map(|argument| &argument.name),
        ];
        for name in shapes_a_response.into_iter().flatten() {
            let message =
                format!("`{name}` shapes a response, and this function's is its own: remove it");
            errors.at(name, message);
        }
        if let Some(Named { value: Cost::Function(path), .. }) = &self.cost {
            errors.at(
                path,
                "this function has no request of which the cost could be a function: write a \
                 constant in upper case, or an expression of the arguments, such as `cost = \
                 args(items.len())`",
            );
        }
        if let Some(Named { value: Settle::Usage(word), .. }) = &self.settle {
            errors.at(
                word,
                "a `Usage` is counted for a handler's request, and this function has none: write \
                 a function of its result, such as `settle = self::tokens`",
            );
        }
        if let (Some(wait), false) = (&self.wait, is_async) {
            errors.at(&wait.name, "only an `async fn` can `wait`: make the function async");
        }
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

    fn check(&self, errors: &mut Errors) {
        // The highest allowed rate is 1,000,000 per second, which is 1 per microsecond.
        if self.literal().is_some_and(|(limit, micros)| limit > micros) {
            errors.at(
                &self.limit,
                "limit ÷ period must be at most 1,000,000 per second: lower the limit or \
                 lengthen the period",
            );
        }
    }

    fn text(&self) -> String {
        format!("{} per {}", self.limit.to_token_stream(), self.period.text())
    }
}

/// Returns the error about a `hold` without the permits that it is about.
fn without_in_flight(hold: &Ident) -> syn::Error {
    let message = "`hold` is for a limit on requests in flight: write `in_flight = 20`, too, or \
                   remove it";
    syn::Error::new(hold.span(), message)
}

/// Returns the message about an option of a limit that only counts requests in flight.
fn without_quota(name: &Ident) -> String {
    format!(
        "`{name}` is for a limit per period, and this one only counts the requests in flight, each \
         as one: remove it, or write such a limit, too, as in `100, per = 60, in_flight = 20`"
    )
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

/// Returns the first `Self` among the tokens.
pub(crate) fn find_self(tokens: TokenStream) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) => (ident == "Self").then_some(ident),
        TokenTree::Group(group) => find_self(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    })
}
