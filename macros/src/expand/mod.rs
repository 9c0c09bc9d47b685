//! From tokens to tokens.

mod handler;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

use crate::args::Arguments;
use crate::errors::Errors;
use crate::fallback;
use crate::item::Function;
use crate::policy::{Policy, Private};

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
    let private = Private::new(arguments.krate.value.clone());
    let function = errors.keep(syn::parse2::<Function>(item));
    let policy = Policy::new(arguments, errors);
    let function = function?;
    handler::check(&function, errors);
    Some(handler::expand(&policy?, function, &private, errors))
}
