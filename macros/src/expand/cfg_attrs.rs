//! Handles `#[cfg_attr(…, rate_limit(…))]` on the functions of a block. The compiler expands the block's
//! attribute before it looks at them, so the expansion contains the function once for each combination
//! of the conditions.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token, parse_quote};

use crate::errors::Errors;
use crate::item::{Function, mentions};

/// The largest number of conditions on one function. Each condition doubles the number of generated
/// functions.
const MAX_CONDITIONS: usize = 4;

/// A `#[cfg_attr(…)]`.
struct CfgAttr {
    condition: TokenStream,
    attributes: Vec<Meta>,
}

/// Returns a copy of the function for each combination of the conditions under which it has a
/// `rate_limit` attribute, with the condition as a `#[cfg(…)]`. Returns a function without such
/// conditions as it is.
pub(super) fn variants(function: Function, errors: &mut Errors) -> Vec<Function> {
    let conditions = function.attrs.iter().filter(|attribute| has_limit(attribute));
    let conditions: Vec<&Attribute> = conditions.collect();
    if conditions.len() > MAX_CONDITIONS {
        let message =
            format!("a function has at most {MAX_CONDITIONS} `#[cfg_attr(…, rate_limit(…))]`");
        errors.at(conditions[MAX_CONDITIONS], message);
        return vec![function];
    }
    let mut variants = Vec::new();
    split(function, errors, &mut variants);
    variants
}

/// Splits the function into a copy for which its first condition is true and a copy for which it is
/// false. Splits both again until no conditions are left, and then appends them to `variants`.
fn split(function: Function, errors: &mut Errors, variants: &mut Vec<Function>) {
    let Some(index) = function.attrs.iter().position(has_limit) else {
        variants.push(function);
        return;
    };
    let Some(CfgAttr { condition, attributes }) =
        errors.keep(CfgAttr::parse.parse2(tokens(&function.attrs[index])))
    else {
        return;
    };
    let (mut with, mut without) = (function.clone(), function);
    let attributes = attributes.into_iter().map(|meta| -> Attribute { parse_quote!(#[#meta]) });
    let met: Attribute = parse_quote!(#[cfg(#condition)]);
    let unmet: Attribute = parse_quote!(#[cfg(not(#condition))]);
    with.attrs.splice(index..=index, [met].into_iter().chain(attributes));
    without.attrs[index] = unmet;
    split(with, errors, variants);
    split(without, errors, variants);
}

/// Returns a member of the block in the place of a variant with mistakes. The compiler reports them only
/// if the variant's conditions are true.
pub(super) fn mistakes_of(variant: &Function, mistakes: Errors) -> TokenStream {
    let conditions = variant.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let name = format_ident!("__rate_limit_mistakes_in_{}", variant.sig.ident.unraw());
    let mistakes = mistakes.into_compile_errors();
    quote!(#(#conditions)* fn #name() { #mistakes })
}

/// Returns `true` for a `#[cfg_attr(…)]` that contains this macro's attribute.
fn has_limit(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg_attr") && mentions(tokens(attribute), "rate_limit")
}

fn tokens(attribute: &Attribute) -> TokenStream {
    match &attribute.meta {
        Meta::List(list) => list.tokens.clone(),
        Meta::Path(_) | Meta::NameValue(_) => TokenStream::new(),
    }
}

impl CfgAttr {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let condition: Meta = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        let attributes = Punctuated::<Meta, Token![,]>::parse_terminated(input)?;
        Ok(Self { condition: quote!(#condition), attributes: attributes.into_iter().collect() })
    }
}
