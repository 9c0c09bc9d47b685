//! Expands `#[rate_limit]` on an `impl` block, and with it the attributes on the functions in the
//! block. Handlers in a block need this: the expansion of a handler declares a type. A type cannot
//! be declared in an `impl` block, so it is declared beside the block.

use proc_macro2::TokenStream;
use quote::quote;

use super::Limited;
use crate::args::Arguments;
use crate::errors::Errors;
use crate::item::{Block, Member};

pub(super) fn expand(
    arguments: &Arguments,
    block: Block,
    errors: &mut Errors,
) -> Option<TokenStream> {
    if ["limit", "per"].into_iter().any(|name| arguments.has(name)) {
        errors.push(syn::Error::new(
            arguments.span(),
            "an `impl` block has no limit of its own: write `#[rate_limit]` on it, and the limit \
             on each function",
        ));
    }
    let krate = arguments.krate.as_ref().map(|krate| &krate.value);
    let owner = block.owner();
    let (mut beside, mut members) = (TokenStream::new(), TokenStream::new());
    let mut any = false;
    let mut complete = true;
    for member in block.members {
        match member {
            Member::Function(function) if function.has_attr("rate_limit") => {
                any = true;
                let Some(limited) = Limited::new(None, *function, krate, errors) else {
                    complete = false;
                    continue;
                };
                let (policy, function) = limited.expand(owner.as_deref(), &block.generics, errors);
                beside.extend(policy);
                members.extend(function);
            }
            Member::Function(function) => members.extend(quote!(#function)),
            Member::Other(tokens) => members.extend(tokens),
        }
    }
    let head = &block.head;
    if !any {
        errors.at(
            head,
            "no function in this block has a limit: write `#[rate_limit(100, per = 60)]` on one",
        );
    }
    complete.then(|| quote!(#beside #head { #members }))
}
