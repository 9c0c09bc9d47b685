//! Expands `#[rate_limit]` on an `impl` block, and with it the attributes on the functions in the
//! block. Handlers in a block need this: the expansion of a handler declares a type. A type cannot
//! be declared in an `impl` block, so it is declared beside the block.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Around, Limited, cfg_attrs, order};
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
    let names = (owner.as_deref(), &block.generics);
    let (mut beside, mut members) = (TokenStream::new(), TokenStream::new());
    let mut any = false;
    let mut complete = true;
    for member in block.members {
        match member {
            Member::Function(function) => {
                let variants = cfg_attrs::variants(*function, errors);
                let are_several = variants.len() > 1;
                for function in variants {
                    if !function.has_attr("rate_limit") {
                        members.extend(quote!(#function));
                        continue;
                    }
                    any = true;
                    let original = function.clone();
                    let around = Around::Block { krate };
                    let mut mistakes = Errors::default();
                    let limited = Limited::new(None, function, around, &mut mistakes);
                    let expanded = limited.map(|limited| {
                        let later = order::later(&original, limited.mode, names, krate);
                        let (policy, function) =
                            limited.expand(owner.as_deref(), &block.generics, &mut mistakes);
                        (policy, later.unwrap_or(function))
                    });
                    if are_several && !mistakes.is_empty() {
                        // Its conditions may never be true together.
                        members.extend(cfg_attrs::mistakes_of(&original, mistakes));
                        continue;
                    }
                    if let Some(mistakes) = mistakes.into_error() {
                        errors.push(mistakes);
                    }
                    let Some((policy, function)) = expanded else {
                        complete = false;
                        continue;
                    };
                    beside.extend(policy);
                    members.extend(function);
                }
            }
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
