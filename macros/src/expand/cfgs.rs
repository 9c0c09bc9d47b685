//! `#[cfg(…)]` on a handler's arguments. The elements of a tuple cannot have attributes, so the handler
//! is written once for each combination of the conditions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, FnArg, Meta};

use crate::errors::Errors;
use crate::item::Function;

/// Different conditions, for each of which there are twice as many functions.
const MAX_CONDITIONS: usize = 4;

/// Returns the function for each combination of conditions, without them, and the condition under
/// which it is compiled. In documentation none of them is.
pub(super) fn variants(function: Function, errors: &mut Errors) -> Vec<(TokenStream, Function)> {
    let arguments = function.sig.inputs.iter();
    let mut conditions: Vec<String> =
        arguments.flat_map(conditions).map(|condition| condition.to_string()).collect();
    conditions.sort_unstable();
    conditions.dedup();
    if conditions.len() > MAX_CONDITIONS {
        let message = format!("arguments have at most {MAX_CONDITIONS} different `#[cfg(…)]`");
        errors.at(&function.sig.inputs, message);
        return Vec::new();
    }
    let mut variants = Vec::new();
    split(quote!(not(doc)), function, &mut variants);
    variants
}

/// Splits the function by the first condition in it, and both parts by the next ones.
fn split(met: TokenStream, function: Function, variants: &mut Vec<(TokenStream, Function)>) {
    let Some(condition) = function.sig.inputs.iter().flat_map(conditions).next().cloned() else {
        variants.push((met, function));
        return;
    };
    let text = condition.to_string();
    let is_it = |other: &TokenStream| other.to_string() == text;
    let (mut with, mut without) = (function.clone(), function);
    for argument in &mut with.sig.inputs {
        if let FnArg::Typed(argument) = argument {
            argument.attrs.retain(|attribute| !condition_of(attribute).is_some_and(is_it));
        }
    }
    let inputs = std::mem::take(&mut without.sig.inputs).into_iter();
    without.sig.inputs = inputs.filter(|argument| !conditions(argument).any(is_it)).collect();
    split(quote!(all(#met, #condition)), with, variants);
    split(quote!(all(#met, not(#condition))), without, variants);
}

fn conditions(argument: &FnArg) -> impl Iterator<Item = &TokenStream> {
    let attributes = match argument {
        FnArg::Typed(argument) => &argument.attrs,
        FnArg::Receiver(receiver) => &receiver.attrs,
    };
    attributes.iter().filter_map(condition_of)
}

fn condition_of(attribute: &Attribute) -> Option<&TokenStream> {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(&list.tokens),
        _ => None,
    }
}
