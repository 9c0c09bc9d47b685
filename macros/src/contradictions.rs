//! Reports options of a policy that contradict each other, or the function.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens as _;

use crate::args::{Cost, Named};
use crate::errors::Errors;
use crate::keywords::Settle;
use crate::policy::{Mode, Policy, Quota};

impl Policy {
    /// Reports contradictory options.
    pub(crate) fn check(&self, mode: Mode, errors: &mut Errors) {
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
                "a function that is not async is no handler and has no request: make it an `async fn` \
                 if it is one; to limit a plain function, write `key = args(…)` with what it is \
                 called with, or no key for one limit on all calls",
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
        if let Some(Named { name, .. }) = &self.headers {
            errors
                .at(name, "`headers` shapes a response, and this function's is its own: remove it");
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
}

/// Returns the error about a `hold` without the permits that it is about.
pub(crate) fn without_in_flight(hold: &Ident) -> syn::Error {
    let message = "`hold` is for a limit on requests in flight: write `in_flight = 20`, too, or \
                   remove it";
    syn::Error::new(hold.span(), message)
}

/// Returns the message about an option of a limit that only counts requests in flight.
pub(crate) fn without_quota(name: &Ident) -> String {
    format!(
        "`{name}` is for a limit per period, and this one only counts the requests in flight, each \
         as one: remove it, or write such a limit, too, as in `100, per = 60, in_flight = 20`"
    )
}

/// Returns the first `Self` among the tokens.
pub(crate) fn find_self(tokens: TokenStream) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) => (ident == "Self").then_some(ident),
        TokenTree::Group(group) => find_self(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    })
}
