//! Functions that return a future and are not `async`. `#[async_trait]` makes such functions, and traits
//! with bounds on their futures are implemented by them.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::{FnArg, PathArguments, ReturnType, Type, TypeParamBound};

use crate::groups;
use crate::item::{Function, mentions};

/// The `async` block with which a function ends, and which is its whole future.
pub(crate) struct FutureBlock {
    /// The tokens before the block.
    before: TokenStream,
    /// The block, without `async move`.
    pub(crate) block: Group,
    /// `true` if the block is in `Box::pin(…)`.
    is_boxed: bool,
}

impl FutureBlock {
    /// Returns `true` if a `return` before the block may give another future than that of the block, which
    /// would not be limited.
    pub(crate) fn may_return_before(&self) -> bool {
        mentions(self.before.clone(), "return")
    }

    /// Returns the function's body with `block` in the place of the block's tokens.
    pub(crate) fn with(&self, block: &TokenStream) -> TokenStream {
        let before = &self.before;
        if self.is_boxed {
            quote!(#before (async move { #block }))
        } else {
            quote!(#before async move { #block })
        }
    }
}

impl Function {
    /// Returns the block if the function is not `async`, and its body ends in `async move { … }` or in
    /// `Box::pin(async move { … })`.
    pub(crate) fn future_block(&self) -> Option<FutureBlock> {
        if self.is_async() {
            return None;
        }
        let mut before: Vec<TokenTree> = groups::stream(self.body.stream()).into_iter().collect();
        if let Some(block) = take_block(&mut before) {
            return Some(FutureBlock {
                before: before.into_iter().collect(),
                block,
                is_boxed: false,
            });
        }
        let TokenTree::Group(arguments) = before.pop()? else { return None };
        let before: TokenStream = before.into_iter().collect();
        let is_boxed = before.to_string().replace(' ', "").ends_with("Box::pin");
        let mut inner: Vec<TokenTree> = groups::stream(arguments.stream()).into_iter().collect();
        let block = take_block(&mut inner).filter(|_| is_boxed && inner.is_empty())?;
        Some(FutureBlock { before, block, is_boxed })
    }

    /// Returns the names that `#[async_trait]` has moved out of the arguments' patterns into the
    /// block, by `let (x, y) = __arg1;`.
    pub(crate) fn moved_patterns(&self) -> TokenStream {
        let arguments = self.sig.inputs.iter().filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(argument.pat.to_token_stream().to_string()),
            FnArg::Receiver(_) => None,
        });
        let moved: Vec<String> = arguments.filter(|name| name.starts_with("__arg")).collect();
        let Some(FutureBlock { block, .. }) = self.future_block() else {
            return TokenStream::new();
        };
        let (mut patterns, mut pattern) = (TokenStream::new(), None::<Vec<TokenTree>>);
        let mut tokens = block.stream().into_iter().peekable();
        while let Some(token) = tokens.next() {
            match (&token, &mut pattern) {
                (TokenTree::Ident(word), _) if word == "let" => pattern = Some(Vec::new()),
                (TokenTree::Punct(punct), Some(_)) if punct.as_char() == '=' => {
                    let value = tokens.peek().map(ToString::to_string).unwrap_or_default();
                    let pattern = pattern.take().unwrap_or_default();
                    if moved.contains(&value) {
                        patterns.extend(pattern);
                    }
                }
                (_, Some(pattern)) => pattern.push(token),
                (_, None) => {}
            }
        }
        patterns
    }
}

/// Removes `async move { … }` from the end, and returns its block.
fn take_block(tokens: &mut Vec<TokenTree>) -> Option<Group> {
    let [.., TokenTree::Ident(keyword), TokenTree::Ident(capture), block] = &**tokens else {
        return None;
    };
    match groups::tree(block.clone()) {
        TokenTree::Group(block) if keyword == "async" && capture == "move" => {
            tokens.truncate(tokens.len() - 3);
            Some(block)
        }
        _ => None,
    }
}

/// Returns `true` if the type is that of a future: `impl Future`, `Pin<Box<dyn Future>>`, or a name
/// such as `BoxFuture`.
pub(crate) fn is_future(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else { return false };
    match groups::ty(ty) {
        Type::ImplTrait(ty) => ty.bounds.iter().any(is_future_bound),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            last.ident.to_string().ends_with("BoxFuture")
                || (last.ident == "Pin" || last.ident == "Box")
                    && matches!(last.arguments, PathArguments::AngleBracketed(_))
                    && mentions(last.arguments.to_token_stream(), "Future")
        }),
        _ => false,
    }
}

fn is_future_bound(bound: &TypeParamBound) -> bool {
    matches!(bound, TypeParamBound::Trait(bound)
        if bound.path.segments.last().is_some_and(|last| last.ident == "Future"))
}
