//! The path by which generated code refers to the library.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;

/// The path of the library's `__private` module, which holds everything that generated code may
/// name.
pub(crate) struct CratePath(Option<Path>);

impl CratePath {
    /// Creates the path below `krate`, the value of `crate = …`, or below `::tollgate`.
    pub(crate) fn new(krate: Option<Path>) -> Self {
        Self(krate)
    }

    /// Returns the path with errors in it reported at `span`.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.0 else { return quote_spanned!(span=> ::tollgate::__private) };
        // The tokens keep their own hygiene, because the path may begin with `$crate`.
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
