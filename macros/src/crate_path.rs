//! The path by which generated code refers to the library.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;

/// The path of the library's `__private` module, which contains every item that generated code
/// uses. The field is the value of `crate = …`, if the attribute has that argument.
pub(crate) struct CratePath(Option<Path>);

impl CratePath {
    /// Creates the path of the module in the crate `krate`, the value of `crate = …`. Without a
    /// value, the crate is `::tollgate`.
    pub(crate) fn new(krate: Option<Path>) -> Self {
        Self(krate)
    }

    /// Returns the tokens of the path. The compiler reports errors in it at `span`.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.0 else { return quote_spanned!(span=> ::tollgate::__private) };
        // Changes only the location of the tokens and not their hygiene: the path may begin with
        // `$crate`, which is resolved by its hygiene.
        let path = path.to_token_stream().into_iter().map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        });
        quote_spanned!(span=> #(#path)*::__private)
    }
}

impl ToTokens for CratePath {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.at(Span::call_site()));
    }
}
