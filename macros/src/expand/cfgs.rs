//! Handles `#[cfg(…)]` on a handler's arguments. The expansion moves the arguments into a tuple,
//! whose elements cannot have attributes. So it contains the handler once for each combination of
//! the conditions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, FnArg, Meta};

use crate::errors::Errors;
use crate::item::Function;

/// The largest number of different conditions. Each condition doubles the number of generated
/// functions.
const MAX_CONDITIONS: usize = 4;

/// Returns a copy of the function for each combination of the conditions, with the combined
/// condition under which that copy is compiled. The arguments of a copy have no `#[cfg(…)]`. No
/// copy is compiled in documentation builds (`cfg(doc)`).
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

/// Splits the function into a copy for which its first condition is true and a copy for which it is
/// false. Splits both copies again until no conditions are left, and then appends them to
/// `variants`. `met` is the condition under which `function` is compiled.
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
