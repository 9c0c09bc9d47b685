//! From tokens to tokens.

mod block;
mod function;
mod handler;
mod limits;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::ToTokens as _;

use crate::args::Arguments;
use crate::errors::Errors;
use crate::fallback;
use crate::item::{Function, Item};
use crate::policy::{self, Mode, Policy};
use crate::private::Private;

/// The whole macro: the expansion, or every mistake there is and the item as it was.
pub(crate) fn rate_limit(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let expansion = try_expand(arguments, item.clone(), &mut errors);
    match expansion {
        Some(expansion) if errors.is_empty() => expansion,
        _ => {
            let mut tokens = errors.into_compile_errors();
            tokens.extend(fallback::item(item));
            tokens
        }
    }
}

fn try_expand(
    arguments: TokenStream,
    item: TokenStream,
    errors: &mut Errors,
) -> Option<TokenStream> {
    let arguments = Arguments::parse(arguments, errors);
    match errors.keep(syn::parse2::<Item>(item))? {
        Item::Function(function) => {
            let limited = Limited::new(Some(arguments), function, None, errors)?;
            let (beside, function) = limited.expand(None, errors);
            Some(quote::quote!(#beside #function))
        }
        Item::Block(block) => block::expand(&arguments, block, errors),
    }
}

/// A function with its limits.
struct Limited {
    mode: Mode,
    policies: Vec<Policy>,
    function: Function,
    private: Private,
}

impl Limited {
    /// Takes the function's own attributes of ours out of it: `first` is the one that is being
    /// expanded, and the others are stacked below. In a block all of them are.
    fn new(
        first: Option<Arguments>,
        mut function: Function,
        krate: Option<&syn::Path>,
        errors: &mut Errors,
    ) -> Option<Self> {
        let is_in_block = first.is_none();
        let mut stack: Vec<Arguments> = first.into_iter().collect();
        for attribute in function.take_limits() {
            let tokens = match &attribute.meta {
                syn::Meta::List(list) => list.tokens.clone(),
                syn::Meta::Path(_) => TokenStream::new(),
                syn::Meta::NameValue(value) => {
                    errors.at(value, "write `#[rate_limit(100, per = 60)]`");
                    continue;
                }
            };
            stack.push(Arguments::parse(tokens, errors));
        }
        let own_krate = stack.iter().find_map(|arguments| arguments.krate.as_ref());
        let private = Private::new(own_krate.map(|krate| &krate.value).or(krate).cloned());
        let is_async = function.is_async();
        let policies = policy::policies(stack, is_async, errors);
        let (mode, policies) = policies?;
        match mode {
            Mode::Handler => handler::check(&function, is_in_block, errors),
            Mode::Function { .. } => function::check(&function, errors),
        }
        Some(Self { mode, policies, function, private })
    }

    /// What stands beside the function, and the function. `owner` is the type it belongs to.
    fn expand(self, owner: Option<&str>, errors: &mut Errors) -> (TokenStream, TokenStream) {
        let Self { mode, policies, function, private } = self;
        match mode {
            Mode::Handler => handler::expand(&policies, function, owner, &private, errors),
            Mode::Function { is_async } => {
                let function = function::expand(&policies, function, is_async, owner, &private);
                (TokenStream::new(), function.into_token_stream())
            }
        }
    }
}
