//! The order of `#[rate_limit]` and other attributes.
//!
//! Other attributes of a handler are moved above, so that they see the handler as it was written:
//! `#[utoipa::path]` reads its arguments, for example. So their order does not matter. The order of a
//! function's attributes does, and is kept.
//!
//! Attributes that are to be expanded first keep this macro's attribute below them, under another name:
//! `#[rate_limit_last]`, which moves nothing again, and `#[rate_limit_in_block]`, which knows the block that the
//! function stands in.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Generics, LitStr, Meta};

use super::{Around, Limited};
use crate::args::Arguments;
use crate::crate_path::CratePath;
use crate::errors::Errors;
use crate::item::{Function, is_named};
use crate::policy::Mode;

/// Attributes that no macro processes. They stay where they are, which saves a second expansion.
const INERT: [&str; 14] = [
    "allow",
    "cfg",
    "cold",
    "coverage",
    "deny",
    "deprecated",
    "doc",
    "expect",
    "forbid",
    "inline",
    "must_use",
    "rustfmt",
    "track_caller",
    "warn",
];

/// Returns `true` if another macro may process the attribute.
fn is_other(attribute: &Attribute) -> bool {
    let first = attribute.path().segments.first();
    let is_inert = first.is_some_and(|first| INERT.iter().any(|inert| first.ident == inert));
    // `#[debug_handler]` sees the original handler in any place (see `wrapped.rs`), or its state (see
    // `merged.rs`), and cannot stand above a handler without arguments.
    !is_inert && !is_named(attribute, "debug_handler") && !is_named(attribute, "rate_limit")
}

/// Removes and returns the attributes of a handler that another macro may process, except
/// `#[instrument]`, which sees the original handler in any place (see `wrapped.rs`).
pub(super) fn take_others(function: &mut Function) -> Vec<Attribute> {
    let is_moved =
        |attribute: &mut Attribute| is_other(attribute) && !is_named(attribute, "instrument");
    function.attrs.extract_if(.., is_moved).collect()
}

/// Returns the function with the other attributes in front of this macro's, which has the same
/// arguments again.
pub(super) fn behind(
    others: &[Attribute],
    arguments: &TokenStream,
    function: &Function,
    tollgate: &CratePath,
) -> TokenStream {
    quote!(#(#others)* #[#tollgate::rate_limit_last(#arguments)] #function)
}

/// Returns the function of a block for a later expansion, if other attributes come first: all others of
/// a handler, and those that stand above the attribute of a function. `block` contains the name and the
/// parameters of the block, and `krate` the value of `crate = …` in its attribute.
pub(super) fn later(
    function: &Function,
    mode: Mode,
    (owner, generics): (Option<&str>, &Generics),
    krate: Option<&syn::Path>,
) -> Option<TokenStream> {
    let mut function = function.clone();
    let own = function.attrs.iter().position(|attribute| is_named(attribute, "rate_limit"))?;
    let attribute = function.attrs.remove(own);
    let above: Vec<Attribute> = match mode {
        Mode::Handler => function.attrs.extract_if(.., |attribute| is_other(attribute)).collect(),
        Mode::Function { .. } => function.attrs.drain(..own).collect(),
    };
    if !above.iter().any(is_other) {
        return None;
    }
    let Meta::List(arguments) = &attribute.meta else { return None };
    let arguments = &arguments.tokens;
    let own_krate = Arguments::parse(arguments.clone(), &mut Errors::default()).krate;
    let tollgate = own_krate.as_ref().map(|krate| &krate.value).or(krate);
    let given = krate.filter(|_| own_krate.is_none()).map(|krate| quote!(crate = #krate,));
    let tollgate = CratePath::new(tollgate.cloned());
    let owner = owner.unwrap_or_default();
    Some(quote! {
        #(#above)*
        #[#tollgate::rate_limit_in_block(#owner #generics; #given #arguments)]
        #function
    })
}

/// Expands the attribute that [`later`] has left. What stands beside the block was declared with the
/// block.
pub(super) fn in_block(
    arguments: TokenStream,
    item: TokenStream,
    errors: &mut Errors,
) -> Option<TokenStream> {
    let parse = |input: ParseStream<'_>| {
        let (owner, generics) = (input.parse::<LitStr>()?.value(), input.parse::<Generics>()?);
        input.parse::<syn::Token![;]>()?;
        Ok((owner, generics, input.parse::<TokenStream>()?))
    };
    let (owner, generics, arguments) = errors.keep(parse.parse2(arguments))?;
    let owner = Some(&*owner).filter(|owner| !owner.is_empty());
    let arguments = Arguments::parse(arguments, errors);
    let function = errors.keep(syn::parse2::<Function>(item))?;
    let around = Around::Block { krate: None };
    let limited = Limited::new(Some(arguments), function, around, errors)?;
    let (_beside, function) = limited.expand(owner, &generics, errors);
    Some(function.to_token_stream())
}
