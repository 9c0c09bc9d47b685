//! The expansion: converts the tokens of the attribute and of the item into the generated code.

#[cfg(test)]
mod beside;
mod block;
mod cfg_attrs;
mod cfgs;
mod extractors;
#[cfg(test)]
mod fragments;
mod function;
mod handler;
mod late;
mod limits;
mod merged;
mod order;
mod origin;
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

use self::origin::Origin;

/// Expands the attribute. If there are mistakes, returns a `compile_error!` for each of them and
/// the item without the attribute.
pub(crate) fn rate_limit(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, false)
}

/// Expands the attribute of a function in a block, whose own attribute has declared what stands beside the
/// block.
pub(crate) fn rate_limit_in_block(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let expansion = order::in_block(arguments, item.clone(), &mut errors);
    expansion.filter(|_| errors.is_empty()).unwrap_or_else(|| {
        let mut tokens = errors.into_compile_errors();
        tokens.extend(fallback::item(item));
        tokens
    })
}

/// Expands the attribute below the other attributes of the item.
pub(crate) fn rate_limit_last(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, true)
}

fn expand(arguments: TokenStream, item: TokenStream, is_last: bool) -> TokenStream {
    let mut errors = Errors::default();
    let expansion = try_expand(arguments, item.clone(), is_last, &mut errors);
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
    tokens: TokenStream,
    item: TokenStream,
    is_last: bool,
    errors: &mut Errors,
) -> Option<TokenStream> {
    let arguments = Arguments::parse(tokens.clone(), errors);
    match errors.keep(syn::parse2::<Item>(item))? {
        Item::Function(function) => {
            let mut original = function.clone();
            let limited = Limited::new(Some(arguments), function, Around::Nothing, errors)?;
            if limited.mode == Mode::Handler && !is_last {
                let others = order::take_others(&mut original);
                if !others.is_empty() {
                    return Some(order::behind(&others, &tokens, &original, &limited.tollgate));
                }
            }
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
    origin: Origin,
    tollgate: CratePath,
}

/// What stands around a function and is expanded with it.
#[derive(Clone, Copy)]
enum Around<'a> {
    Nothing,
    /// An `impl` block, and the value of `crate = …` in its attribute.
    Block {
        krate: Option<&'a syn::Path>,
    },
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
    origin: &'a Origin,
    tollgate: &'a CratePath,
}

impl Limited {
    /// Removes the function's `rate_limit` attributes, and combines them into its policies. `first`
    /// contains the arguments of the attribute that is being expanded, which the compiler has
    /// removed already. It is `None` if all attributes are still on the function. Returns `None` if an
    /// attribute is incomplete.
    fn new(
        first: Option<Arguments>,
        mut function: Function,
        around: Around<'_>,
        errors: &mut Errors,
    ) -> Option<Self> {
        let (is_in_block, krate) = match around {
            Around::Nothing => (false, None),
            Around::Block { krate } => (true, krate),
        };
        let origin = Origin::of(&function, first.is_none());
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
        let (mode, policies) = policy::policies(stack, &function, errors)?;
        argument_names::check(&policies, &function, errors);
        match mode {
            Mode::Handler => handler::check(&policies, &function, is_in_block, errors),
            Mode::Function { .. } => function::check(&policies, &function, errors),
        }
        Some(Self { mode, policies, function, origin, tollgate })
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
        let Self { mode, policies, function, origin, tollgate } = self;
        let generics = generics.params.iter().chain(&function.sig.generics.params);
        let generics = generics.filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
            GenericParam::Const(parameter) => Some(parameter.ident.to_string()),
            GenericParam::Lifetime(_) => None,
        });
        let generics = generics.collect();
        let origin = &origin;
        let names =
            Names { function: function.name(), owner, generics, origin, tollgate: &tollgate };
        match mode {
            Mode::Handler => handler::expand(&policies, function, &names, errors),
            Mode::Function { is_async } => {
                let function = function::expand(&policies, function, is_async, &names);
                (TokenStream::new(), function.into_token_stream())
            }
        }
    }
}
