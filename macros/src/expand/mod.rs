//! The expansion: converts the tokens of the attribute and of the item into the generated code.

mod block;
mod cfgs;
mod extractors;
mod function;
mod handler;
mod late;
mod limits;
mod merged;
mod shown;
#[cfg(test)]
mod tests;
mod wrapped;

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::{GenericParam, Generics};

use crate::args::Arguments;
use crate::argument_names;
use crate::crate_path::CratePath;
use crate::errors::Errors;
use crate::fallback;
use crate::item::{Function, Item};
use crate::policy::{self, Mode, Policy};

/// Expands the attribute. If there are mistakes, returns a `compile_error!` for each of them and
/// the item without the attribute.
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
            let (beside, function) = limited.expand(None, &Generics::default(), errors);
            Some(quote::quote!(#beside #function))
        }
        Item::Block(block) => block::expand(&arguments, block, errors),
    }
}

/// A function and the limits on it.
struct Limited {
    mode: Mode,
    policies: Vec<Policy>,
    function: Function,
    tollgate: CratePath,
}

/// The names that generated code uses: of the function, of the type whose `impl` block contains it,
/// and of the library.
struct Names<'a> {
    function: String,
    /// The name of the type of the `impl` block that is expanded with the function; `None` if the
    /// function is expanded on its own, or if the type has no name.
    owner: Option<&'a str>,
    /// The generic parameters of the function and of its `impl` block, without lifetimes. A type
    /// that mentions one cannot be named outside the function.
    generics: Vec<String>,
    tollgate: &'a CratePath,
}

impl Limited {
    /// Removes the function's `rate_limit` attributes, and combines them into its policies. `first`
    /// contains the arguments of the attribute that is being expanded, which the compiler has
    /// removed already. It is `None` in an `impl` block, where all attributes are still on the
    /// function. Returns `None` if an attribute is incomplete.
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
        let tollgate = CratePath::new(own_krate.map(|krate| &krate.value).or(krate).cloned());
        let is_async = function.is_async();
        let policies = policy::policies(stack, is_async, errors);
        let (mode, policies) = policies?;
        argument_names::check(&policies, &function, errors);
        match mode {
            Mode::Handler => handler::check(&policies, &function, is_in_block, errors),
            Mode::Function { .. } => function::check(&function, errors),
        }
        Some(Self { mode, policies, function, tollgate })
    }

    /// Returns the items to be declared beside the function, and the function itself. `owner` is
    /// the name of the type whose `impl` block contains the function, and `generics` are the
    /// parameters of that block.
    fn expand(
        self,
        owner: Option<&str>,
        generics: &Generics,
        errors: &mut Errors,
    ) -> (TokenStream, TokenStream) {
        let Self { mode, policies, function, tollgate } = self;
        let generics = generics.params.iter().chain(&function.sig.generics.params);
        let generics = generics.filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
            GenericParam::Const(parameter) => Some(parameter.ident.to_string()),
            GenericParam::Lifetime(_) => None,
        });
        let generics = generics.collect();
        let names = Names { function: function.name(), owner, generics, tollgate: &tollgate };
        match mode {
            Mode::Handler => handler::expand(&policies, function, &names, errors),
            Mode::Function { is_async } => {
                let function = function::expand(&policies, function, is_async, &names);
                (TokenStream::new(), function.into_token_stream())
            }
        }
    }
}
