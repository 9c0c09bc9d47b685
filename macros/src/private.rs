//! Where generated code finds the library.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;

/// The path of the module that holds all that generated code may name.
pub(crate) struct Private(Option<Path>);

impl Private {
    /// Below the path that `crate = …` gives, if it is given.
    pub(crate) fn new(krate: Option<Path>) -> Self {
        Self(krate)
    }

    /// The path as if it were written at `span`, so that errors are reported there.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.0 else { return quote_spanned!(span=> ::tollgate::__private) };
        // It still resolves where the user wrote it, for it may begin with `$crate`.
        let path = path.to_token_stream().into_iter().map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        });
        quote_spanned!(span=> #(#path)*::__private)
    }
}

impl ToTokens for Private {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.at(Span::call_site()));
    }
}
